"""What importing costs, who may import whom, and that the public names stay."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIGHT = (
    "curation",
    "curation.config",
    "curation.workspace",
    "curation.jobs",
    "curation.job_runner",
    "curation.pipeline",
    "curation.tasks",
    "curation.workbench",
    "curation.cli",
    "curation.figures",
    "curation.selectors",
    "curation.representations",
    "curation.evaluation",
    "curation.scorers",
)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_neither_torch_nor_streamlit(module: str) -> None:
    code = f"import sys, {module}; print(*({{'torch', 'streamlit', 'transformers', 'umap'}} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.split() == []


def _imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs; those for type checkers alone are left out."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_library_never_imports_streamlit_nor_the_pages() -> None:
    for path in (ROOT / "curation").rglob("*.py"):
        assert not {m for m in _imports(path) if m.split(".")[0] in ("streamlit", "pages")}, path


def test_pages_import_neither_torch_nor_numpy() -> None:
    for path in [*(ROOT / "pages").glob("*.py"), ROOT / "app.py"]:
        assert not {m for m in _imports(path) if m.split(".")[0] in ("torch", "numpy", "transformers")}, path


def test_nothing_is_unpickled_or_evaluated() -> None:
    for path in (ROOT / "curation").rglob("*.py"):
        assert "pickle" not in {m.split(".")[0] for m in _imports(path)}, path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"


def test_stages_do_not_import_each_other() -> None:
    stages = ("representations", "selectors", "scorers", "training", "evaluation", "maps", "diagnostics")
    for stage in stages:
        folder = ROOT / "curation" / stage
        for path in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
            others = {f"curation.{s}" for s in stages if s != stage}
            crossed = {m for m in _imports(path) if any(m == o or m.startswith(f"{o}.") for o in others)}
            assert not crossed, f"{path}: {crossed}"


def test_no_module_is_longer_than_400_lines() -> None:
    for path in [*(ROOT / "curation").rglob("*.py"), *(ROOT / "pages").glob("*.py")]:
        assert len(path.read_text("utf-8").splitlines()) <= 400, path
