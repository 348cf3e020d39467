"""How large the saved selections and subset files are that an experiment may have as arms, looked up once."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from curation import comparison, subset_files
from curation.config import BudgetConfig, ExperimentConfig
from curation.errors import CurationError
from pages import _shell as ui


@st.cache_data(max_entries=256, show_spinner=False)
def _opened(root: str, key: str) -> tuple[BudgetConfig, int, str]:  # noqa: ARG001  # part of what it is kept by
    saved = comparison.open_artefact(ui.workspace(), key)
    return saved.selection.budget, len(saved.ids), str(saved.represented.record["pool"])


def opened(ws: ui.Workspace, key: str) -> tuple[BudgetConfig, int, str] | None:
    """Return budget, size and pool of a saved selection; None if it can't be opened any more."""
    try:
        return _opened(str(ws.root), key)
    except CurationError:
        return None


@st.cache_data(max_entries=64, show_spinner="Looking up the file's rows in the pool …")
def _rows_of(root: str, path: str, changed: float, pool: str) -> int:  # noqa: ARG001  # as above
    return len(subset_files.read(ui.workspace(), Path(path), pool))


def own_sizes(ws: ui.Workspace, config: ExperimentConfig, pool: str) -> dict[str, tuple[BudgetConfig, int]]:
    """Return budget and size of the saved selections and files among the arms; CurationError if a file is unusable."""
    saved = {name: one["saved"] for name, one in config.selections.items() if "saved" in one}
    sizes = {name: of[:2] for name, key in saved.items() if (of := opened(ws, key))}
    for name, path in config.subsets.items():
        changed = Path(path).stat().st_mtime if Path(path).is_file() else 0.0
        n = _rows_of(str(ws.root), path, changed, pool)
        sizes[name] = BudgetConfig(examples=n), n
    return sizes
