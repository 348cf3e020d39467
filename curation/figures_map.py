"""The map of a pool as a Plotly figure: what is picked, pinned, banned; and what moved between two selections.

Points carry nothing but their row's number, so that a map of a whole pool stays small; above `MAX_DRAWN` the grey pool
is thinned, while picks are always all there. A lasso is tested against the whole pool on the server
(`workbench.lasso`), so it selects exactly whatever is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

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
}
MAX_DRAWN = 60_000
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
    row, query : int, optional
        Position of the pool row, of the query, that is being read; it gets a ring.
    area : Area, optional
        The lasso or box in force; what lies outside is dimmed.
    """
    palette = PALETTES[theme]
    xy = view.represented.pool_xy
    paint = _paint(view, colour, palette)
    drawn = np.flatnonzero(view.state == 0)
    drawn = drawn[:: -(-drawn.size // MAX_DRAWN) or 1]
    size = 3.0 if drawn.size > 20_000 else 4.0 if drawn.size > 3_000 else 5.0
    faint = 0.5 if colour == "state" else 0.6
    figure = _canvas(palette, height, revision=view.represented.key)
    _scatter(figure, "pool", xy, drawn, {**paint.of(drawn, palette.pool), "size": size, "opacity": faint})
    outline = {"width": 0.8, "color": palette.background}
    for name, symbol, bigger, own in (
        ("picked", "circle", 3.5, palette.picked),
        ("pinned", "diamond", 7.0, palette.pinned),
        ("banned", "x-thin", 4.0, palette.banned),
    ):
        rows = np.flatnonzero(view.state == ("picked", "pinned", "banned").index(name) + 1)
        marker = paint.of(rows, own) if name == "picked" else {"color": own}
        line = {"width": 2, "color": own} if name == "banned" else outline
        _scatter(figure, name, xy, rows, {**marker, "symbol": symbol, "size": size + bigger, "line": line})
    query_xy = view.represented.query_xy
    _queries(figure, query_xy, palette)
    if row is not None:
        _ring(figure, xy[row], palette, size + 12)
    if query is not None:
        _ring(figure, query_xy[query], palette, 24)
    paint.legend(figure, palette.pool)
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
    pool = np.arange(0, len(xy), -(-len(xy) // MAX_DRAWN) or 1)
    _scatter(figure, "pool", xy, pool, {"color": palette.pool, "size": 4, "opacity": 0.3})
    outline = {"width": 0.8, "color": palette.background}
    for name, ids, symbol, own in (
        ("in both", comparison.both, "circle", palette.picked),
        (f"only {comparison.a.name}", comparison.only_a, "diamond", palette.pinned),
        (f"only {comparison.b.name}", comparison.only_b, "square", palette.categories[6]),
    ):
        rows = np.array([positions[i] for i in ids], dtype=np.int64)
        marker = {"color": own, "symbol": symbol, "size": 8 if symbol != "circle" else 7, "line": outline}
        _scatter(figure, name, xy, rows, marker)
    _queries(figure, comparison.represented.query_xy, palette)
    if row is not None:
        _ring(figure, xy[row], palette, 18)
    return figure


@dataclass(frozen=True, eq=False)
class _Paint:
    """A colouring: a number a row with its colour scale, the words of its legend; no numbers where state is drawn."""

    values: npt.NDArray[Any] | None = None
    scale: Sequence[tuple[float, str]] = ()
    low: float = 0.0
    high: float = 1.0
    labels: tuple[str, ...] = ()  # of a colouring by kind
    title: str = ""
    ticks: tuple[tuple[float, ...], tuple[str, ...]] = ((), ())

    def of(self, rows: npt.NDArray[np.int64], otherwise: str) -> dict[str, Any]:
        """Return the marker's colours for these rows."""
        if self.values is None:
            return {"color": otherwise}
        return {"color": self.values[rows], "colorscale": self.scale, "cmin": self.low, "cmax": self.high}

    def legend(self, figure: go.Figure, grey: str) -> None:
        """Say what the colours mean: a line a kind, or a colour bar; and that the larger points are the picks."""
        if self.values is None:
            return
        for trace, size in zip(figure.data[:2], (5, 9), strict=True):
            trace.showlegend = False
            key = {"color": grey, "size": size}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=key, name=trace.name)
        for kind, (_, colour) in zip(self.labels, self.scale[::2], strict=False):
            shown = {"color": colour, "size": 8}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=shown, name=label(kind, 24))
        if self.title:
            bar = {
                "title": {"text": self.title, "side": "right", "font": {"size": 12}},
                "thickness": 8,
                "len": 0.5,
                "outlinewidth": 0,
                "x": 1.0,
            }
            if self.ticks[0]:
                bar |= {"tickvals": self.ticks[0], "ticktext": self.ticks[1]}
            shown = {"color": [self.low], "colorscale": self.scale, "cmin": self.low, "cmax": self.high}
            figure.add_scatter(
                x=[None],
                y=[None],
                mode="markers",
                showlegend=False,
                marker={**shown, "showscale": True, "colorbar": bar},
            )
            figure.update_layout(margin_r=56)


def _paint(view: View, colour: str, palette: Palette) -> _Paint:
    n = len(palette.categories)
    if colour == "query":  # more queries than colours: neighbours differ, the ring and the table say which it is
        return _Paint(view.nearest_query % n, _steps(palette.categories), -0.5, n - 0.5)
    if colour == "source":
        names, codes, counts = np.unique(np.asarray(view.sources), return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        kinds = [str(s) for s in names[order]]
        labels = kinds if len(kinds) <= n else [*kinds[: n - 1], f"{len(kinds) - n + 1} others"]
        return _Paint(np.minimum(place[codes], n - 1), _steps(palette.categories), -0.5, n - 0.5, tuple(labels))
    shades = [(i / (len(palette.scale) - 1), c) for i, c in enumerate(palette.scale)]
    if colour == "similarity":
        low, high = np.quantile(view.nearest_similarity, (0.01, 0.99)).tolist()
        high = max(high, low + 1e-6)
        return _Paint(_stepped(view.nearest_similarity, low, high), shades, low, high, title="similarity")
    if colour == "length":
        length = np.log10(np.maximum(view.rows.n_chars, 1)).astype(np.float32)
        low, high = np.quantile(length, (0.01, 0.99)).tolist()
        marks = [t for t in (1, 10, 100, 1_000, 10_000, 100_000) if low <= np.log10(t) <= high]
        ticks = (tuple(float(np.log10(t)) for t in marks), tuple(f"{t:,}" for t in marks))
        high = max(high, low + 1e-6)
        return _Paint(_stepped(length, low, high), shades, low, high, title="characters", ticks=ticks)
    return _Paint()


def _stepped(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float32]:
    """Round values to the steps of a colour scale from `low` to `high`."""
    steps = np.round(np.clip((values - low) / (high - low), 0, 1) * (_SHADES - 1))
    shown: npt.NDArray[np.float32] = np.asarray(low + steps / (_SHADES - 1) * (high - low), dtype=np.float32)
    return shown


def _steps(colours: Sequence[str]) -> list[tuple[float, str]]:
    """A colour scale of flat steps, for codes 0, 1, … between −0.5 and n − 0.5."""
    n = len(colours)
    return [(edge / n, c) for i, c in enumerate(colours) for edge in (i, i + 1)]


def _scatter(
    figure: go.Figure, name: str, xy: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], marker: dict[str, Any]
) -> None:
    """Draw rows. Plotly reads more than tags in a hover line, so what a user may have named stays out of it."""
    x, y = np.asarray(xy[rows], dtype=np.float32).T
    figure.add_scattergl(
        x=x,
        y=y,
        customdata=(rows + 1).astype(np.int32),
        mode="markers",
        name=f"{label(name, 28)} {rows.size:,}" if name != "pool" else "pool",
        meta="row",
        marker=marker,
        hovertemplate="row %{customdata:,}<extra></extra>",
        unselected={"marker": {"opacity": 0.12}},
        showlegend=bool(rows.size),
    )


def _queries(figure: go.Figure, xy: npt.NDArray[np.float32], palette: Palette) -> None:
    """Draw the queries, above every row: WebGL traces lie in their order, and above all SVG ones."""
    size = 13 if len(xy) <= 30 else 10
    marker = {"color": palette.query, "symbol": "star", "size": size, "line": {"width": 1, "color": palette.text}}
    figure.add_scattergl(
        x=xy[:, 0],
        y=xy[:, 1],
        customdata=np.arange(1, len(xy) + 1),
        mode="markers",
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
