"""A push: the files of the export, in one commit, where it was said and to nobody else; each refusal one sentence."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from curation import export, publishing, report, workbench
from curation.errors import PublishError
from curation.report import Records
from curation.tables import OverrideEntry
from curation.workspace import Workspace
from tests.loopback import Loopback, Reply
from tests.pages.conftest import make_project

TOKEN = "hf_secret-of-the-login"


class Hub:
    """What a push speaks with: the hub's protocol on loopback, its one data set in memory."""

    def __init__(self) -> None:
        self.private: bool | None = None  # of the data set; None before it is made
        self.files: dict[str, bytes] = {}
        self.commits: list[str] = []
        self.refusal: tuple[int, str] | None = None
        self.tokens: set[str | None] = set()
        self.loopback = Loopback(self._reply)
        self.url = self.loopback.url

    def _reply(self, path: str, headers: Any, body: bytes) -> Reply:
        if not body:
            there = self.private is not None and path.startswith("/api/datasets/ada/picks")
            about = {"id": "ada/picks", "sha": "0" * 40, "private": self.private}
            return (200, {}, about) if there else (404, {}, {"error": "not here"})
        self.tokens.add(headers["Authorization"])
        if self.refusal:
            return self.refusal[0], {}, {"error": self.refusal[1]}
        if path == "/api/repos/create":
            there = self.private is not None
            if not there:
                self.private = json.loads(body)["visibility"] == "private"
            return 409 if there else 200, {}, {"url": f"{self.url}/datasets/ada/picks"}
        if path == "/api/validate-yaml":
            return 200, {}, {"errors": [], "warnings": []}
        if path == "/api/datasets/ada/picks/preupload/main":
            asked = json.loads(body)["files"]
            told = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            return 200, {}, {"files": told}
        assert path == "/api/datasets/ada/picks/commit/main"
        head, *files = [json.loads(line)["value"] for line in body.splitlines()]
        self.commits.append(head["summary"])
        self.files |= {f["path"]: base64.b64decode(f["content"]) for f in files}
        return 200, {}, {"success": True, "commitUrl": f"{self.url}/datasets/ada/picks/commit/1", "commitOid": "1"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield made
    made.loopback.close()


@pytest.fixture
def records(workspace: Workspace, tmp_path: Path) -> Records:
    project = make_project(workspace, tmp_path)
    return report.of_project(workspace, project, workbench.view(workspace, project))


def test_a_push_makes_a_private_data_set_of_the_exports_files(workspace: Workspace, records: Records, hub: Hub) -> None:
    url = publishing.push(workspace, records, "ada/picks")
    assert url == f"{hub.url}/datasets/ada/picks/commit/1"
    assert hub.private is True and hub.tokens == {f"Bearer {TOKEN}"}
    assert hub.files == export.contents(workspace, records)
    assert b'data_files": "subset.parquet' in hub.files["README.md"]
    assert not any(TOKEN.encode() in data for data in hub.files.values())
    publishing.push(workspace, records, "ada/picks")  # again: there already, and still private
    assert hub.commits == [f"{len(records.subset)} examples selected with Winnow"] * 2


def test_public_is_only_what_was_asked_to_be(workspace: Workspace, records: Records, hub: Hub) -> None:
    publishing.push(workspace, records, "ada/picks", private=False)
    assert hub.private is False and len(hub.commits) == 1
    with pytest.raises(PublishError, match="data set ada/picks is there already and public; make it private"):
        publishing.push(workspace, records, "ada/picks")
    assert len(hub.commits) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "no valid token; log in with `hf auth login` or set HF_TOKEN"),
        (403, r"your token may not write there \(never here\); give it the right to write"),
        (500, "it says: never here; try again"),
    ],
)
def test_each_refusal_is_one_sentence(status: int, said: str, workspace: Workspace, records: Records, hub: Hub) -> None:
    hub.refusal = (status, "never here")
    with pytest.raises(PublishError, match=said) as told:
        publishing.push(workspace, records, "ada/picks")
    assert "\n" not in str(told.value) and TOKEN not in str(told.value)


def test_without_a_network_it_says_so_and_a_bad_name_goes_nowhere(
    workspace: Workspace, records: Records, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PublishError, match="expected NAME or OWNER/NAME"):
        publishing.push(workspace, records, "ada/../picks")
    with monkeypatch.context() as patch, pytest.raises(PublishError, match="unset HF_HUB_OFFLINE, or download"):
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        publishing.push(workspace, records, "ada/picks")
    hub.loopback.close()
    with pytest.raises(PublishError, match="can't be reached from here"):
        publishing.push(workspace, records, "ada/picks")
    assert not hub.tokens


def test_what_leaves_is_told_before(records: Records) -> None:
    told = publishing.what_leaves(records)
    assert told.startswith(f"{len(records.subset)} examples (licences: ")
    assert all(name in told for name in records.licences) and "by hand" not in told
    decided = dataclasses.replace(records, log=[OverrideEntry(project_id="p", action="pin", row_id="r")])
    assert publishing.what_leaves(decided).endswith("who decided what by hand")
