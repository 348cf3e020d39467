"""Hub data sets, seen through a local folder in the hub's format; what is missing or out of reach is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation.config import DatasetConfig
from curation.data.readers import hub, hub_revision
from curation.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"prompt": f"p{i}", "response": f"r{i}"} for i in range(3)]
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        text = "".join(json.dumps({**row, "split": split}) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)
    return folder


def test_a_split_is_streamed(folder: Path) -> None:
    records = list(hub(DatasetConfig(path=str(folder), hub=True, split="test")))
    assert [r.line for r in records] == [1, 2, 3]
    assert records[2].value == {"prompt": "p2", "response": "r2", "split": "test"}


def test_an_unknown_split_is_said(folder: Path) -> None:
    with pytest.raises(DataError, match=r"split 'dev'.*can't be read \(.*check these four"):
        list(hub(DatasetConfig(path=str(folder), hub=True, split="dev")))


def test_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    config = DatasetConfig(path="someone/something", hub=True)
    with pytest.raises(DataError, match="'someone/something' can't be reached from here; connect to the network"):
        list(hub(config))
    with pytest.raises(DataError, match="can't be reached from here"):
        hub_revision(config)


def test_the_revision_of_a_folder_is_its_content(folder: Path) -> None:
    config = DatasetConfig(path=str(folder), hub=True)
    before = hub_revision(config)
    assert hub_revision(config) == before
    (folder / "train.jsonl").write_text('{"prompt": "p", "response": "r"}\n')
    assert hub_revision(config) != before
