"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from curation.workspace import Workspace
    from tests.scripted import Script

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine is no defect


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and the tiny model; absent on a user's machine, never absent in CI."""
    folder = Path(os.environ.get("WINNOW_TEST_DATA", Path(__file__).parent.parent.parent / "shared")).resolve()
    if not (folder / "data" / "README.md").is_file():
        reason = f"no shared test data at {folder}; set WINNOW_TEST_DATA to its folder"
        if os.environ.get("WINNOW_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def tiny_lm(shared: Path) -> Path:
    """A real causal LM of 5.9 M parameters in the standard format."""
    return shared / "models" / "tiny-lm"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh, empty workspace."""
    from curation.workspace import Workspace

    return Workspace(tmp_path / "workspace")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AppTest run pages inside app.py as a server does after its first run; by itself it forgets every time."""
    from streamlit.runtime.pages_manager import PagesManager

    begin = PagesManager.__init__

    def settled(self: PagesManager, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", settled)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Put a script in the place of training and judging."""
    from curation import evaluation, training
    from tests.scripted import Script

    made = Script()
    monkeypatch.setattr(training, "fine_tune", made.fine_tune)
    monkeypatch.setattr(evaluation, "evaluate", made.evaluate)
    return made
