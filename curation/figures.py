"""Two selections as Plotly figures: overlap, coverage, composition; and the look that every figure has.

A figure takes what `comparison` returns and a theme, ``"light"`` or ``"dark"``; no Streamlit here. Text from data is
escaped, since Plotly reads a few HTML tags in labels. Maps are in `figures_map`, results in `figures_results`.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

if TYPE_CHECKING:
    from curation.comparison import Comparison, Overlaps


@dataclass(frozen=True)
class Palette:
    """Colours of one theme; the states' are those that the pages use in text, as `.streamlit/config.toml` says them.

    States differ in shape and size as well, so that they can be told apart without colour. Any two categories stand at
    least 11 apart in CIELAB also for eyes without red or green cones (Machado et al. 2009, severity 1).
    """

    background: str
    text: str
    line: str
    pool: str
    picked: str
    pinned: str
    banned: str
    query: str
    scale: tuple[str, ...]
    categories: tuple[str, ...]


PALETTES = {
    "light": Palette(
        background="#fdfcf9",
        text="#26281f",
        line="#dcd7ca",
        pool="#8a877c",
        picked="#0e7c6b",
        pinned="#3557c9",
        banned="#c23b33",
        query="#c98a0b",
        scale=("#ded9cb", "#86b3a4", "#0e7c6b", "#06342d"),
        categories=(
            "#0e7c6b",
            "#3557c9",
            "#c98a0b",
            "#8e1f2f",
            "#9a6fd6",
            "#8cbf4f",
            "#dd86b4",
            "#54b4dd",
            "#7a4a12",
            "#bcb8ab",
        ),
    ),
    "dark": Palette(
        background="#151714",
        text="#e8e6dc",
        line="#383c35",
        pool="#98978c",
        picked="#3dbfa7",
        pinned="#8ba3ff",
        banned="#ef7d74",
        query="#f0b53c",
        scale=("#3a3e37", "#2f6f62", "#3dbfa7", "#d6fff3"),
        categories=(
            "#3dbfa7",
            "#8ba3ff",
            "#f0b53c",
            "#e2554a",
            "#8a5fd0",
            "#d3e88a",
            "#f7b3d6",
            "#a5e3fb",
            "#8a5a1f",
            "#63625b",
        ),
    ),
}


def look(palette: Palette, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": palette.text, "size": 13, "family": '"Source Sans", sans-serif'},
        "hoverlabel": {"bgcolor": palette.background, "bordercolor": palette.line, "font": {"color": palette.text}},
    }


def label(text: object, length: int = 40) -> str:
    """Return one short line of text from data, with nothing in it that Plotly would read as a tag."""
    line = " ".join(str(text).split())
    return html.escape(line if len(line) <= length else line[: length - 1] + "…", quote=False)


def overlap(comparison: Comparison, *, theme: str = "light") -> go.Figure:
    """Return one bar: picks of the first selection only, of both, of the second only."""
    palette = PALETTES[theme]
    figure = go.Figure()
    for name, ids, colour in (
        (f"only {comparison.a.name}", comparison.only_a, palette.pinned),
        ("in both", comparison.both, palette.picked),
        (f"only {comparison.b.name}", comparison.only_b, palette.categories[6]),
    ):
        figure.add_bar(
            x=[len(ids)],
            y=[""],
            orientation="h",
            name=label(name),
            marker_color=colour,
            text=[f"{len(ids):,}" if ids else ""],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": palette.background},
            hovertemplate="%{x:,} picks<extra></extra>",
        )
    figure.update_layout(
        **look(palette, 90),
        barmode="stack",
        margin={"l": 0, "r": 0, "t": 0, "b": 30},
        legend={"orientation": "h", "x": 0, "y": -0.1, "yanchor": "top", "traceorder": "normal"},
        xaxis={"visible": False, "range": [0, len({*comparison.a.ids, *comparison.b.ids}) or 1]},
        yaxis={"visible": False},
    )
    return figure


def overlap_matrix(overlaps: Overlaps, at: int, *, theme: str = "light") -> go.Figure:
    """Return a heat map of how much each two selections share at one budget.

    Parameters
    ----------
    overlaps : Overlaps
        As `comparison.overlaps` gives it.
    at : int
        Which of its budgets.
    """
    palette = PALETTES[theme]
    names = [f"{n}  " for n in _distinct([label(name, 28) for name in overlaps.names])]
    shared = overlaps.jaccard[at]
    figure = go.Figure()
    figure.add_heatmap(
        z=shared,
        x=names,
        y=names,
        zmin=0.0,
        zmax=1.0,
        colorscale=[(i / (len(palette.scale) - 1), c) for i, c in enumerate(palette.scale)],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}and %{x}: %{z:.0%}<extra></extra>",
    )
    for i, row in enumerate(shared.tolist()):
        for j, value in enumerate(row):
            ink = palette.background if value > 0.5 else palette.text
            if theme == "dark":
                ink = palette.background if value > 0.4 else palette.text
            figure.add_annotation(x=names[j], y=names[i], text=f"{value:.0%}", showarrow=False, font_color=ink)
    size = 64 * len(names)
    figure.update_layout(
        **look(palette, 150 + size),
        width=260 + max(size, 160),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"automargin": True, "showgrid": False, "tickangle": -35},
        yaxis={"automargin": True, "showgrid": False, "autorange": "reversed"},
    )
    return figure


def _distinct(names: list[str]) -> list[str]:
    """Names that were cut to the same text, told apart by a number: equal ones would share a line of the figure."""
    return [f"{n} ({names[:i].count(n) + 1})" if names[:i].count(n) else n for i, n in enumerate(names)]


def coverage(comparison: Comparison, *, theme: str = "light", limit: int = 30) -> go.Figure:
    """Return each query's similarity to its nearest pick in both selections, the most different queries first.

    Parameters
    ----------
    limit : int
        Queries drawn at most.
    """
    palette = PALETTES[theme]
    a, b = comparison.coverage_a, comparison.coverage_b
    chosen = np.argsort(-np.abs(np.nan_to_num(a - b)), kind="stable")[:limit][::-1]
    labels = [f"{i + 1} · {label(comparison.query_titles[i], 34)}" for i in chosen]
    gap_x = [v for i in chosen for v in (float(a[i]), float(b[i]), None)]
    gap_y = [v for label in labels for v in (label, label, None)]
    figure = go.Figure()
    figure.add_scatter(
        x=gap_x,
        y=gap_y,
        mode="lines",
        line={"color": palette.line, "width": 3},
        hoverinfo="skip",
        showlegend=False,
        connectgaps=False,
    )
    for saved, values, symbol, colour in (
        (comparison.a, a, "diamond", palette.pinned),
        (comparison.b, b, "square", palette.categories[6]),
    ):
        figure.add_scatter(
            x=values[chosen],
            y=labels,
            mode="markers",
            name=label(saved.name),
            marker={"color": colour, "symbol": symbol, "size": 9},
            hovertemplate="%{x:.3f}<extra></extra>",
        )
    figure.update_layout(
        **look(palette, 110 + 22 * len(labels)),
        margin={"l": 8, "r": 8, "t": 36, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        xaxis={"title": {"text": "similarity to the nearest pick"}, "gridcolor": palette.line, "zeroline": False},
        yaxis={"automargin": True, "showgrid": False, "tickfont": {"size": 12}},
    )
    return figure


def composition(comparison: Comparison, *, theme: str = "light", limit: int = 15) -> go.Figure:
    """Return how many picks come from each source, in both selections; sources beyond `limit` are one."""
    palette = PALETTES[theme]
    a, b = comparison.composition_a, comparison.composition_b
    names = sorted({*a, *b}, key=lambda s: (-(a.get(s, 0) + b.get(s, 0)), s))
    kept, rest = names[:limit], names[limit:]
    labels = [label(s, 28) for s in kept] + ([f"{len(rest)} others"] if rest else [])
    figure = go.Figure()
    for saved, counts, colour in ((comparison.a, a, palette.pinned), (comparison.b, b, palette.categories[6])):
        values = [counts.get(s, 0) for s in kept] + ([sum(counts.get(s, 0) for s in rest)] if rest else [])
        figure.add_bar(
            x=values,
            y=labels,
            orientation="h",
            name=label(saved.name),
            marker_color=colour,
            text=[f"{v:,}" for v in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    figure.update_layout(
        **look(palette, 100 + 42 * len(labels)),
        barmode="group",
        bargap=0.3,
        margin={"l": 8, "r": 40, "t": 36, "b": 16},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"visible": False},
        yaxis={"automargin": True, "autorange": "reversed", "showgrid": False},
    )
    return figure
