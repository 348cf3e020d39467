"""Maps and comparisons as figures: what is drawn, where, in which colours; and that text from data stays text."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from curation import figures, figures_map
from curation.figures_map import Area

ROOT = Path(__file__).parents[1]
N, M = 40, 3


@pytest.fixture
def view() -> Any:
    """A pool of 40 rows with 6 picked, 2 pinned, 1 banned; three sources, one of them hostile."""
    rng = np.random.default_rng(0)
    state = np.zeros(N, dtype=np.int8)
    state[:6], state[6:8], state[8] = 1, 2, 3
    represented = SimpleNamespace(
        key="k",
        pool_xy=rng.normal(size=(N, 2)).astype(np.float32),
        query_xy=rng.normal(size=(M, 2)).astype(np.float32),
    )
    return SimpleNamespace(
        represented=represented,
        state=state,
        nearest_query=np.arange(N) % M,
        nearest_similarity=np.linspace(0, 1, N, dtype=np.float32),
        sources=["<b>web</b>" if i % 3 == 0 else "books" if i % 3 == 1 else "code" for i in range(N)],
        rows=SimpleNamespace(n_chars=np.arange(1, N + 1) * 10),
    )


@pytest.fixture
def two() -> Any:
    """Two selections of ten rows each that share four, over three queries."""
    a = SimpleNamespace(name="mine v1", ids=tuple(f"r{i}" for i in range(10)))
    b = SimpleNamespace(name="<i>other</i>", ids=tuple(f"r{i}" for i in range(6, 16)))
    rng = np.random.default_rng(1)
    return SimpleNamespace(
        a=a,
        b=b,
        represented=SimpleNamespace(key="k", pool_xy=rng.normal(size=(N, 2)), query_xy=rng.normal(size=(M, 2))),
        query_titles=["first", "<script>second</script>", "third"],
        only_a=tuple(f"r{i}" for i in range(6)),
        only_b=tuple(f"r{i}" for i in range(10, 16)),
        both=tuple(f"r{i}" for i in range(6, 10)),
        coverage_a=np.array([0.9, 0.5, 0.2]),
        coverage_b=np.array([0.8, 0.1, 0.2]),
        composition_a={"web": 6, "books": 4},
        composition_b={"web": 3, "code": 7},
    )


def traces(figure: go.Figure) -> dict[str, list[Any]]:
    """The traces of points by the first word of their uid; those that only explain the legend are left out."""
    found: dict[str, list[Any]] = {}
    for trace in figure.data:
        if trace.type == "scattergl":
            found.setdefault(str(trace.uid).split(" ")[0], []).append(trace)
    return found


def rows_of(drawn: list[Any]) -> list[int]:
    return sorted(int(n) - 1 for trace in drawn for n in np.asarray(trace.customdata) if n)


@pytest.mark.parametrize("colour", figures_map.COLOURINGS)
@pytest.mark.parametrize("theme", figures.PALETTES)
def test_every_row_is_drawn_once_in_the_trace_of_its_state(view: Any, colour: str, theme: str) -> None:
    drawn = traces(figures_map.pool_map(view, colour=colour, theme=theme))
    assert rows_of(drawn["pool"]) == list(range(9, N))
    assert rows_of(drawn["picked"]) == [0, 1, 2, 3, 4, 5]
    assert rows_of(drawn["pinned"]) == [6, 7]
    assert rows_of(drawn["banned"]) == [8]
    for trace in drawn["picked"]:
        rows = np.asarray(trace.customdata) - 1
        np.testing.assert_array_equal(trace.x[rows >= 0], view.represented.pool_xy[rows[rows >= 0], 0])


def test_queries_lie_above_every_row_and_the_states_differ_in_shape(view: Any) -> None:
    figure = figures_map.pool_map(view)
    shown = [t for t in figure.data if t.type == "scattergl"]
    assert [t.meta for t in shown] == ["row"] * 4 + ["query"]
    symbols = [t.marker.symbol or "circle" for t in shown[1:]]
    assert symbols == ["circle", "diamond", "x-thin", "star"]
    for colour in figures_map.COLOURINGS:
        assert figures_map.pool_map(view, colour=colour).data[-1].meta == "query"


def test_points_carry_their_row_number_and_no_text(view: Any) -> None:
    for colour in ("source", "query"):
        for trace in json.loads(figures_map.pool_map(view, colour=colour).to_json())["data"]:
            assert "text" not in trace and "hovertext" not in trace
            words = json.dumps([trace.get("hovertemplate", ""), trace.get("name", "")])
            assert "<b>" not in words and "<script>" not in words


def test_colour_by_source_names_the_sources_by_size_and_puts_the_rest_together(view: Any) -> None:
    names = [t.name for t in figures_map.pool_map(view, colour="source").data if t.type == "scatter"]
    assert names == ["pool", "&lt;b&gt;web&lt;/b&gt;", "books", "code", "picked 6"]
    view.sources = [f"s{i:02d}" for i in range(N)]
    figure = figures_map.pool_map(view, colour="source")
    kinds = [t for t in figure.data if str(t.uid).startswith("kind")]
    assert len(kinds) == 10 and kinds[-1].name == "31 other sources"
    assert rows_of([t for t in traces(figure)["pool"] if t.name == kinds[-1].name]) == list(range(9, N))


def test_a_query_is_a_kind_named_by_its_number(view: Any) -> None:
    figure = figures_map.pool_map(view, colour="query")
    names = [t.name for t in figure.data if str(t.uid).startswith("kind")]
    assert names == ["query 1", "query 2", "query 3"]
    nearest_first = [t for t in traces(figure)["pool"] if t.name == "query 1"]
    assert rows_of(nearest_first) == [n for n in range(9, N) if n % M == 0]


def test_a_click_on_a_kind_hides_its_rows_and_its_picks_and_is_remembered(view: Any) -> None:
    before = figures_map.pool_map(view, colour="source")
    code = [t for t in before.data if t.legendgroup == "sources 2"]
    assert [str(t.uid) for t in code] == ["pool sources 2", "kind sources 2", "picked sources 2"]
    assert [bool(t.showlegend) for t in code] == [False, True, False] or code[1].showlegend is None
    view.state[:] = 0  # nothing is picked any more: the traces are the same, and each has a point
    after = figures_map.pool_map(view, colour="source")
    assert [t.uid for t in after.data] == [t.uid for t in before.data]
    assert all(len(t.x) for t in after.data)
    assert len({t.uid for t in before.data}) == len(before.data)


def test_colour_by_similarity_has_a_scale_from_its_values(view: Any) -> None:
    (pool,) = traces(figures_map.pool_map(view, colour="similarity"))["pool"]
    np.testing.assert_allclose(pool.marker.color, view.nearest_similarity[9:], atol=0.5 / 47 + 0.01)
    assert 0 <= pool.marker.cmin < pool.marker.cmax <= 1
    assert pool.marker.color.min() >= np.float32(pool.marker.cmin)


def test_a_scorer_colours_the_map_by_magnitude(view: Any) -> None:
    scores = np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N))
    figure = figures_map.pool_map(view, colour="perplexity", scores=scores)
    (pool,), bar = traces(figure)["pool"], next(trace for trace in figure.data if trace.uid == "bar")
    assert np.isfinite(pool.marker.color).all() and pool.marker.color[10] < pool.marker.color[-1]
    assert bar.marker.colorbar.title.text == "perplexity" and bar.marker.colorbar.ticktext[:2] == ("1", "10")
    (pool,) = traces(figures_map.pool_map(view, colour="perplexity", scores=np.full(N, np.nan)))["pool"]
    assert np.isfinite(pool.marker.color).all()


def test_a_scale_has_few_shades_so_that_webgl_draws_them_right() -> None:
    assert np.unique(figures_map._stepped(np.linspace(0, 1, 10_000, dtype=np.float32), 0.0, 1.0)).size == 48


def test_equal_values_still_make_a_scale(view: Any) -> None:
    view.nearest_similarity = np.ones(N, dtype=np.float32)
    (pool,) = traces(figures_map.pool_map(view, colour="similarity"))["pool"]
    assert pool.marker.cmin < pool.marker.cmax


def test_a_large_pool_is_thinned_and_its_picks_are_not(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_map, "MAX_DRAWN", 10)
    drawn = traces(figures_map.pool_map(view))
    assert 0 < len(rows_of(drawn["pool"])) <= 10
    assert rows_of(drawn["picked"]) == [0, 1, 2, 3, 4, 5] and rows_of(drawn["banned"]) == [8]
    assert drawn["pool"][0].name == "pool · 10 of 40 drawn"


def test_the_zoom_belongs_to_the_representation_and_the_outline_to_the_lasso(view: Any) -> None:
    plain, small = figures_map.pool_map(view), figures_map.pool_map(view, colour="source")
    assert plain.layout.uirevision == small.layout.uirevision == "k"
    lasso = figures_map.pool_map(view, area=Area("lasso", (0.0, 1.0, 0.5), (0.0, 0.0, 1.0)))
    assert lasso.layout.selections[0].path == "M0.0,0.0L1.0,0.0L0.5,1.0Z"
    assert lasso.layout.selectionrevision != plain.layout.selectionrevision
    box = figures_map.pool_map(view, area=Area("box", (1.0, -1.0), (2.0, 0.0))).layout.selections[0]
    assert (box.x0, box.x1, box.y0, box.y1) == (-1.0, 1.0, 0.0, 2.0)


def test_the_row_that_is_read_has_a_ring(view: Any) -> None:
    ring = figures_map.pool_map(view, row=11).data[-1]
    assert ring.x[0] == pytest.approx(view.represented.pool_xy[11, 0])


def test_rows_without_a_place_on_the_map_do_no_harm(view: Any) -> None:
    view.represented.pool_xy[20] = np.nan
    json.loads(figures_map.pool_map(view).to_json())


def test_a_map_of_six_thousand_rows_is_a_quarter_megabyte(view: Any) -> None:
    n = 6_000
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(n, 2)).astype(np.float32)
    big = SimpleNamespace(
        represented=SimpleNamespace(key="k", pool_xy=xy, query_xy=view.represented.query_xy),
        state=(np.arange(n) % 20 == 0).astype(np.int8),
        nearest_query=np.zeros(n, dtype=np.int64),
        nearest_similarity=rng.random(n).astype(np.float32),
        sources=["s"] * n,
        rows=SimpleNamespace(n_chars=np.ones(n)),
    )
    assert len(figures_map.pool_map(big, colour="similarity").to_json()) < 250_000


def test_moved_rows_are_drawn_by_the_side_that_has_them(two: Any) -> None:
    positions = {f"r{i}": i for i in range(N)}
    figure = figures_map.moved_map(two, positions, row=3)
    rows = {t.name: rows_of([t]) for t in figure.data if t.customdata is not None and t.meta == "row"}
    assert rows["only mine v1 6"] == [0, 1, 2, 3, 4, 5]
    assert rows["in both 4"] == [6, 7, 8, 9]
    assert rows["only &lt;i&gt;other&lt;/i&gt; 6"] == [10, 11, 12, 13, 14, 15]


def test_overlap_shows_the_three_parts(two: Any) -> None:
    figure = figures.overlap(two)
    assert [b.x[0] for b in figure.data] == [6, 4, 6]
    assert list(figure.layout.xaxis.range) == [0, 16]


def test_the_overlap_matrix_says_each_share_and_keeps_equal_names_apart() -> None:
    shared = np.array([np.eye(3), [[1.0, 0.25, 0.5], [0.25, 1.0, 0.0], [0.5, 0.0, 1.0]]])
    told = SimpleNamespace(names=["a" * 40, "a" * 40, "<b>b</b>"], budgets=[10, 30], jaccard=shared)
    figure = figures.overlap_matrix(told, 1)  # type: ignore[arg-type]
    (heat,) = figure.data
    assert np.array_equal(np.asarray(heat.z), shared[1]) and len(set(heat.x)) == 3 and tuple(heat.x) == tuple(heat.y)
    texts = [a.text for a in figure.layout.annotations]
    assert texts == ["100%", "25%", "50%", "25%", "100%", "0%", "50%", "0%", "100%"]
    assert not any("<b>" in name for name in heat.x)


def test_coverage_begins_with_the_query_that_differs_most(two: Any) -> None:
    _, a, b = figures.coverage(two, limit=2).data
    assert a.y[-1] == "2 · &lt;script&gt;second&lt;/script&gt;"  # the last one is drawn at the top
    assert (a.x[-1], b.x[-1]) == (0.5, 0.1)
    assert len(a.y) == 2


def test_composition_counts_both_and_puts_small_sources_together(two: Any) -> None:
    a, b = figures.composition(two).data
    assert dict(zip(a.y, a.x, strict=True)) == {"web": 6, "code": 0, "books": 4}
    assert dict(zip(b.y, b.x, strict=True)) == {"web": 3, "code": 7, "books": 0}
    a, _ = figures.composition(two, limit=1).data
    assert (a.y, a.x) == (("web", "2 others"), (6, 4))


def test_a_label_is_one_short_line_without_tags() -> None:
    assert figures.label("a\n <b>b</b>") == "a &lt;b&gt;b&lt;/b&gt;"
    assert figures.label("x" * 50, 10) == "x" * 9 + "…"


def test_the_palettes_are_those_of_the_app() -> None:
    themes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    for name, palette in figures.PALETTES.items():
        theme = themes[name]
        shown = dataclasses.asdict(palette)
        assert list(palette.categories) == theme["chartCategoricalColors"]
        for ours, theirs in {
            "background": "backgroundColor",
            "text": "textColor",
            "line": "borderColor",
            "pool": "grayColor",
            "picked": "greenColor",
            "pinned": "blueColor",
            "banned": "redColor",
            "query": "yellowColor",
        }.items():
            assert shown[ours] == theme[theirs]


_NO_RED = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])
_NO_GREEN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, eye: np.ndarray) -> np.ndarray:
    """CIELAB of a colour as an eye sees it (Machado et al. 2009)."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _XYZ @ np.clip(eye @ linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", figures.PALETTES)
@pytest.mark.parametrize("eye", [np.eye(3), _NO_RED, _NO_GREEN])
def test_categories_can_be_told_apart_by_any_eye(theme: str, eye: np.ndarray) -> None:
    seen = np.array([lab(colour, eye) for colour in figures.PALETTES[theme].categories])
    apart = np.linalg.norm(seen[:, None] - seen, axis=2) + 100 * np.eye(len(seen))
    assert apart.min() > 11


def test_figures_load_neither_torch_nor_streamlit() -> None:
    code = "import sys, curation.figures, curation.figures_map; print({'torch','streamlit','umap'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"
