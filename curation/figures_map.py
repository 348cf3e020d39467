"""The map of a pool as a Plotly figure: what is picked, pinned, banned; and what moved between two selections.

Points carry nothing but their row's number, so that a map of a whole pool stays small; above `MAX_DRAWN` the grey pool
is thinned where it is dense, while picks, pins, bans and queries are always all there. A lasso is tested against the
whole pool on the server (`workbench.lasso`), so it selects exactly whatever is drawn. A trace keeps its `uid` from one
figure to the next, by which Plotly knows what the user has hidden by a click on the legend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from curation import maps
from curation.figures import PALETTES, Palette, label, look

if TYPE_CHECKING:
    from curation.comparison import Comparison
    from curation.views import View

COLOURINGS = {
    "state": "State",
    "query": "Nearest query",
    "similarity": "Similarity",
    "source": "Source",
    "length": "Length",
    "perplexity": "Perplexity",
}
MAX_DRAWN = 50_000
_SHADES = 48  # steps of a colour scale: Plotly's WebGL points come out in wrong colours where there are too many


@dataclass(frozen=True)
class Area:
    """What was drawn around points of a map, in its coordinates: a ``lasso`` by its corners, a ``box`` by two."""

    kind: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def pool_map(
    view: View,
    *,
    colour: str = "state",
    scores: npt.NDArray[np.floating] | None = None,
    theme: str = "light",
    row: int | None = None,
    query: int | None = None,
    area: Area | None = None,
    height: int = 520,
) -> go.Figure:
    """Return the map of a pool: its rows, the picks, pins and bans above them, the queries on top.

    Parameters
    ----------
    view : View
        What stands.
    colour : str
        One of `COLOURINGS`. In all but ``state`` every row has the colour, and picks are larger and full.
    scores : array (n_pool,), optional
        Each row's score by the scorer that `colour` names, NaN where it has none.
    row, query : int, optional
        Position of the pool row, of the query, that is being read; it gets a ring.
    area : Area, optional
        The lasso or box in force; what lies outside is dimmed.
    """
    palette = PALETTES[theme]
    xy = view.represented.pool_xy
    shown = maps.thin(xy, MAX_DRAWN)
    drawn = np.flatnonzero(shown & (view.state == 0))
    size = 3.0 if drawn.size > 20_000 else 4.0 if drawn.size > 3_000 else 5.0
    figure = _canvas(palette, height, revision=view.represented.key)
    paint = _paint(view, colour, scores, palette)
    outline = {"width": 0.8, "color": palette.background}
    faint = 0.3 if drawn.size > 20_000 else 0.5  # where points lie on points, grey must not outshine the picks
    small = {"size": size, "opacity": faint if colour == "state" else 0.65}
    large = {"size": size + 3.5, "line": outline}
    states = [np.flatnonzero(view.state == n) for n in (1, 2, 3)]
    thinned = f" · {shown.sum():,} of {len(xy):,} drawn" if not shown.all() else ""
    paint.draw(figure, xy, drawn, "pool", {"color": palette.pool, **small}, f"pool{thinned}")
    paint.draw(figure, xy, states[0], "picked", {"color": palette.picked, **large}, f"picked {states[0].size:,}")
    for name, rows, symbol, bigger, own in (
        ("pinned", states[1], "diamond", 7.0, palette.pinned),
        ("banned", states[2], "x-thin", 4.0, palette.banned),
    ):
        line = {"width": 2, "color": own} if name == "banned" else outline
        marker = {"color": own, "symbol": symbol, "size": size + bigger, "line": line}
        _scatter(figure, xy, rows, marker, uid=name, name=f"{name} {rows.size:,}", showlegend=bool(rows.size))
    query_xy = view.represented.query_xy
    _queries(figure, query_xy, palette)
    if row is not None:
        _ring(figure, xy[row], palette, size + 12)
    if query is not None:
        _ring(figure, query_xy[query], palette, 24)
    _select(figure, area, palette)
    return figure


def moved_map(
    comparison: Comparison, positions: Mapping[str, int], *, theme: str = "light", row: int | None = None
) -> go.Figure:
    """Return one map of two selections: picks of both, of the first only, of the second only.

    Parameters
    ----------
    comparison : Comparison
        The two.
    positions : mapping
        Row id → position in the pool.
    row : int, optional
        Position of the row that is being read.
    """
    palette = PALETTES[theme]
    xy = comparison.represented.pool_xy
    figure = _canvas(palette, 520, revision=comparison.represented.key)
    figure.update_layout(dragmode="pan")
    pool = np.flatnonzero(maps.thin(xy, MAX_DRAWN))
    grey = {"color": palette.pool, "size": 3 if pool.size > 20_000 else 4, "opacity": 0.3}
    _scatter(figure, xy, pool, grey, uid="pool", name="pool")
    outline = {"width": 0.8, "color": palette.background}
    for uid, name, ids, symbol, own in (
        ("both", "in both", comparison.both, "circle", palette.picked),
        ("a", f"only {comparison.a.name}", comparison.only_a, "diamond", palette.pinned),
        ("b", f"only {comparison.b.name}", comparison.only_b, "square", palette.categories[6]),
    ):
        rows = np.array([positions[i] for i in ids], dtype=np.int64)
        marker = {"color": own, "symbol": symbol, "size": 8 if symbol != "circle" else 7, "line": outline}
        name = f"{label(name, 28)} {rows.size:,}"
        _scatter(figure, xy, rows, marker, uid=uid, name=name, showlegend=bool(rows.size))
    _queries(figure, comparison.represented.query_xy, palette)
    if row is not None:
        _ring(figure, xy[row], palette, 18)
    return figure


class _Plain:
    """No colouring: pool and picks in the colours of their states."""

    def draw(
        self,
        figure: go.Figure,
        xy: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        uid: str,
        marker: dict[str, Any],
        name: str,
    ) -> None:
        """Draw rows of one state; `marker` is how they look where nothing else colours them."""
        _scatter(figure, xy, rows, marker, uid=uid, name=name, showlegend=bool(rows.size))


@dataclass(frozen=True, eq=False)
class _Kinds(_Plain):
    """Colours by kind: one entry of the legend a kind, which shows and hides its rows and its picks together."""

    of: str  # "queries", "sources"
    codes: npt.NDArray[np.int64]  # (n_pool,), places in `labels`
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    grey: str  # of what explains the marks, which is of no kind

    def draw(
        self,
        figure: go.Figure,
        xy: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        uid: str,
        marker: dict[str, Any],
        name: str,
    ) -> None:
        """Draw a trace a kind, without rows too: one that came later would not know that its kind is hidden."""
        _key(figure, {"color": self.grey, "size": marker["size"] + 2}, uid=f"key {uid}", name=name, meta="key")
        codes = self.codes[rows]
        for code, (kind, colour) in enumerate(zip(self.labels, self.colours, strict=True)):
            own = {**marker, "color": colour}
            group = f"{self.of} {code}"
            mine = rows[codes == code]
            _scatter(figure, xy, mine, own, uid=f"{uid} {group}", name=kind, legendgroup=group, showlegend=False)
            if uid == "pool":
                _key(figure, {"color": colour, "size": 8}, uid=f"kind {group}", name=kind, legendgroup=group)


@dataclass(frozen=True, eq=False)
class _Scale(_Plain):
    """Colours by a number a row."""

    values: npt.NDArray[np.float32]  # (n_pool,)
    colours: tuple[str, ...]
    grey: str  # of the legend
    title: str
    ticks: tuple[tuple[float, ...], tuple[str, ...]] = ((), ())

    def draw(
        self,
        figure: go.Figure,
        xy: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        uid: str,
        marker: dict[str, Any],
        name: str,
    ) -> None:
        """Draw rows by the scale; the grey entry of the legend stands for them."""
        finite = self.values[np.isfinite(self.values)]
        low, high = np.quantile(finite, (0.01, 0.99)).tolist() if finite.size else (0.0, 1.0)
        high = max(high, low + 1e-6)
        last = len(self.colours) - 1
        scale = {"colorscale": [(i / last, c) for i, c in enumerate(self.colours)], "cmin": low, "cmax": high}
        values = _stepped(np.nan_to_num(self.values[rows], nan=low), low, high)
        own = {**marker, "color": values, **scale}
        _scatter(figure, xy, rows, own, uid=uid, name=name, legendgroup=uid, showlegend=False)
        grey = {"color": self.grey, "size": marker["size"] + 2}
        _key(figure, grey, uid=f"key {uid}", name=name, legendgroup=uid)
        if uid == "pool":
            ticks = {"tickvals": self.ticks[0], "ticktext": self.ticks[1]} if self.ticks[0] else {}
            title = {"text": label(self.title, 24), "side": "right", "font": {"size": 12}}
            bar = {"title": title, "thickness": 8, "len": 0.5, "outlinewidth": 0, "x": 1.0, **ticks}
            shown = {"color": [low], **scale, "showscale": True, "colorbar": bar}
            _key(figure, shown, uid="bar", name="bar", showlegend=False)
            figure.update_layout(margin_r=56)


def _paint(view: View, colour: str, scores: npt.NDArray[np.floating] | None, palette: Palette) -> _Plain:
    if colour == "query":
        count = np.bincount(view.nearest_query)
        names = [f"query {q + 1}" for q in range(count.size)]  # their words are too long for a legend of ten
        return _kinds(view.nearest_query, count, names, "queries", palette)
    if colour == "source":
        sources, codes, counts = np.unique(np.asarray(view.sources), return_inverse=True, return_counts=True)
        return _kinds(codes, counts, sources.tolist(), "sources", palette)
    if colour == "similarity":
        return _Scale(view.nearest_similarity, palette.scale, palette.pool, "similarity")
    if colour == "length":
        return _by_magnitude(view.rows.n_chars, palette, "characters")
    if scores is not None:
        return _by_magnitude(scores, palette, colour)
    return _Plain()


def _by_magnitude(values: npt.NDArray[np.number], palette: Palette, title: str) -> _Scale:
    """Shade numbers from 1 on by their magnitude; the bar shows powers of ten."""
    magnitude = np.log10(np.maximum(values, 1)).astype(np.float32)
    low, high = (np.nanmin(magnitude), np.nanmax(magnitude)) if np.isfinite(magnitude).any() else (0.0, 0.0)
    marks = [power for power in range(9) if low <= power <= high]
    ticks = (tuple(map(float, marks)), tuple(f"{10**power:,}" for power in marks))
    return _Scale(magnitude, palette.scale, palette.pool, title, ticks)


def _kinds(
    codes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], names: list[str], many: str, palette: Palette
) -> _Kinds:
    """Give the largest kinds a colour each, and the rest the last one together: more can't be told apart."""
    n = len(palette.categories)
    order = np.argsort(-counts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    labels = [label(names[i], 24) for i in order[:n]]
    if len(names) > n:
        labels[n - 1] = f"{len(names) - n + 1} other {many}"
    return _Kinds(many, np.minimum(place[codes], n - 1), tuple(labels), palette.categories[: len(labels)], palette.pool)


def _stepped(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float32]:
    """Round values to the steps of a colour scale from `low` to `high`."""
    steps = np.round(np.clip((values - low) / (high - low), 0, 1) * (_SHADES - 1))
    shown: npt.NDArray[np.float32] = np.asarray(low + steps / (_SHADES - 1) * (high - low), dtype=np.float32)
    return shown


def _scatter(
    figure: go.Figure,
    xy: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    marker: dict[str, Any],
    *,
    uid: str,
    name: str,
    legendgroup: str = "",
    showlegend: bool = True,
) -> None:
    """Draw rows. Plotly reads more than tags in a hover line, so what a user may have named stays out of it.

    Without rows there is one point that is nowhere, for Plotly forgets traces without points.
    """
    x, y = np.asarray(xy[rows], dtype=np.float32).T if rows.size else np.full((2, 1), np.nan, dtype=np.float32)
    figure.add_scattergl(
        x=x,
        y=y,
        customdata=(rows + 1).astype(np.int32) if rows.size else [0],
        mode="markers",
        uid=uid,
        name=name,
        legendgroup=legendgroup,
        meta="row",
        marker=marker,
        hovertemplate="row %{customdata:,}<extra></extra>",
        unselected={"marker": {"opacity": 0.12}},
        showlegend=showlegend,
    )


def _key(figure: go.Figure, marker: dict[str, Any], **entry: Any) -> None:
    """Draw nothing but an entry of the legend, or a colour bar."""
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip", **entry)


def _queries(figure: go.Figure, xy: npt.NDArray[np.float32], palette: Palette) -> None:
    """Draw the queries, above every row: WebGL traces lie in their order, and above all SVG ones."""
    size = 13 if len(xy) <= 30 else 10
    marker = {"color": palette.query, "symbol": "star", "size": size, "line": {"width": 1, "color": palette.text}}
    figure.add_scattergl(
        x=xy[:, 0],
        y=xy[:, 1],
        customdata=np.arange(1, len(xy) + 1),
        mode="markers",
        uid="queries",
        name="queries",
        meta="query",
        marker=marker,
        hovertemplate="query %{customdata}<extra></extra>",
        unselected={"marker": {"opacity": 1}},
    )


def _ring(figure: go.Figure, at: npt.NDArray[np.float32], palette: Palette, size: float) -> None:
    marker = {"color": "rgba(0,0,0,0)", "size": size, "line": {"width": 2.5, "color": palette.text}}
    figure.add_scattergl(
        x=[float(at[0])],
        y=[float(at[1])],
        mode="markers",
        marker=marker,
        uid=f"ring {size}",
        hoverinfo="skip",
        showlegend=False,
        unselected={"marker": {"opacity": 1}},
    )


def _select(figure: go.Figure, area: Area | None, palette: Palette) -> None:
    figure.update_layout(selectionrevision=repr(area))
    if area is None:
        return
    line = {"color": palette.text, "width": 1.5, "dash": "dot"}
    if area.kind == "box":
        x, y = (min(area.x), max(area.x)), (min(area.y), max(area.y))
        figure.add_selection(type="rect", x0=x[0], x1=x[1], y0=y[0], y1=y[1], line=line)
    else:
        path = "L".join(f"{x},{y}" for x, y in zip(area.x, area.y, strict=True))
        figure.add_selection(type="path", path=f"M{path}Z", line=line)


def _canvas(palette: Palette, height: int, revision: str) -> go.Figure:
    axis = {"visible": False, "showgrid": False, "zeroline": False}
    figure = go.Figure()
    figure.update_layout(
        **look(palette, height),
        xaxis=axis,
        yaxis=axis,
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        dragmode="lasso",
        hovermode="closest",
        clickmode="event",
        uirevision=revision,
        legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": 12}},
        newselection={"line": {"color": palette.text, "width": 1.5, "dash": "dot"}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": palette.pool, "activecolor": palette.text},
    )
    return figure
