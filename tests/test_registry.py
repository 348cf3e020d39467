"""A registry lists without importing, refuses unknown names with the known ones, and builds from keyword options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from curation import selectors
from curation.errors import ConfigError
from curation.registry import Registry


def test_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="unknown selector 'best'; expected one of: round_robin, doubly_greedy, influence, uot, "
    ):
        selectors.create("best")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="selector 'random' has no option 'speed'"):
        selectors.create("random", speed=3)


def test_listing_imports_nothing() -> None:
    registry: Registry[object] = Registry("thing", {"a": "curation.no_such_module:A"})
    assert list(registry) == ["a"]
    assert "a" in registry and "b" not in registry


def test_help_is_the_first_line_of_the_docstring() -> None:
    assert selectors.REGISTRY.help("random") == "Draw candidates at random, every one as likely."


def test_registries_import_neither_torch_nor_streamlit() -> None:
    code = (
        "import sys, curation, curation.selectors, curation.representations, curation.scorers, curation.similarity, "
        "curation.diagnostics, curation.maps, curation.models; "
        "print(sorted({'torch', 'streamlit', 'umap', 'sklearn', 'ot', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
