"""Results → Plotly figures: arms with error bars and single seeds, loss curves, composition of a selection.

Plain figures that a page and the report draw alike; no Streamlit. Names from data are escaped, since Plotly reads
tags in labels. `theme` is "light" or "dark", as in `figures`, which has the palettes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from curation.figures import PALETTES, Palette, label, look
from curation.findings import ARMS, arm_label, arms_of, interval, is_loss, main_metric, metric_label, shown

_FADED = 0.22
_SMOOTHED = 12  # the running mean is over about a twelfth of a curve
_SOURCES = 12


def arms(result: Mapping[str, Any], metric: str = "", *, theme: str = "light") -> go.Figure:
    """Draw each arm's mean with its 95 % interval, a small ring for each seed, and a line at zero-shot.

    Parameters
    ----------
    result : mapping
        As `curation.experiments.experiment` returns it.
    metric : str
        Which metric; empty means the headline's.
    """
    metric = metric or main_metric(result)
    scale = 1.0 if is_loss(metric) else 100.0
    palette = PALETTES[theme]
    names = arms_of(result)
    figure = go.Figure()
    if "zero_shot" in names and len(names) > 1:
        base = scale * result["arms"]["zero_shot"]["metrics"][metric]["mean"]
        figure.add_vline(base, line={"dash": "dot", "width": 1.5, "color": palette.pool}, layer="below")
    for place, arm in enumerate(names):
        told = result["arms"][arm]["metrics"][metric]
        mean, colour = scale * told["mean"], _colour(arm, palette)
        low, high = (mean if told[k] is None else scale * told[k] for k in ("low", "high"))
        hover = f"{arm_label(arm)}: {interval(metric, told)}<extra></extra>"
        figure.add_scatter(
            x=[low, high], y=[place, place], mode="lines", line={"color": colour, "width": 4}, hoverinfo="skip"
        )
        figure.add_scatter(
            x=[mean],
            y=[place],
            mode="markers",
            marker={"color": colour, "size": 13},
            hovertemplate=hover,
            name=arm_label(arm),
        )
        if len(told["per_seed"]) > 1:
            figure.add_scatter(
                x=[scale * value for value in told["per_seed"]],
                y=[place + 0.24] * len(told["per_seed"]),
                mode="markers",
                marker={"color": colour, "size": 7, "symbol": "circle-open", "line": {"width": 1.5}},
                hovertemplate="one seed: %{x:.3g}<extra></extra>",
            )
        figure.add_annotation(
            x=mean,
            y=place,
            text=f"<b>{shown(metric, told['mean'])}</b>",
            showarrow=False,
            yshift=18,
            font_color=colour,
            bgcolor=palette.background,
            borderpad=1,
        )
    ticks = [arm_label(arm) + (f" · {_count(result, arm)}" if _count(result, arm) else "") for arm in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=ticks,
        range=[len(names) - 0.4, -0.7],
        showgrid=False,
        fixedrange=True,
    )
    better = "lower" if is_loss(metric) else "higher"
    unit = "nats a token" if is_loss(metric) else "%"
    figure.update_xaxes(title=f"{metric_label(metric)}, {unit} ({better} is better)", fixedrange=True)
    if not is_loss(metric):  # from zero, with room for a mark that stands on it
        told = [result["arms"][arm]["metrics"][metric] for arm in names]
        top = max(100 * max(t["mean"], t["high"] or 0, *t["per_seed"]) for t in told)
        figure.update_xaxes(range=[-0.03 * top, 1.05 * top] if top else [-1, 10])
    return _styled(figure, palette, height=70 + 62 * len(names), legend=False)


def _count(result: Mapping[str, Any], arm: str) -> str:
    n = result["arms"][arm]["n_examples"]
    return f"{n:,}" if n else ""


def losses(curves: Mapping[str, Sequence[Mapping[str, Any]]], *, theme: str = "light") -> go.Figure:
    """Draw the training loss of each arm: each seed's steps faintly, its running mean over them.

    Parameters
    ----------
    curves : mapping of arm to sequence of points
        Points with ``seed``, ``step`` and ``loss`` in the order of steps, as a result's ``curves`` has them.
    """
    palette = PALETTES[theme]
    figure = go.Figure()
    longest = []
    for arm in (*ARMS, *(a for a in curves if a not in ARMS)):
        seeds: dict[Any, list[Mapping[str, Any]]] = {}
        for point in curves.get(arm, ()):
            seeds.setdefault(point["seed"], []).append(point)
        for number, (seed, points) in enumerate(seeds.items()):
            steps, values = [p["step"] for p in points], [p["loss"] for p in points]
            longest.append(steps[-1])
            line = {"color": _colour(arm, palette), "width": 1}
            figure.add_scatter(x=steps, y=values, mode="lines", line=line, opacity=_FADED, hoverinfo="skip")
            figure.data[-1].showlegend = False
            figure.add_scatter(
                x=steps,
                y=_running_mean(values),
                mode="lines" if len(steps) > 1 else "markers",
                line={**line, "width": 2.5},
                name=arm_label(arm),
                legendgroup=arm,
                showlegend=number == 0,
                hovertemplate=f"{arm_label(arm)}, seed {seed}, step %{{x}}: %{{y:.3f}}<extra></extra>",
            )
    spread_out = longest and max(longest) > 4 * min(longest)
    figure.update_xaxes(
        title="Optimizer step" + (" (logarithmic)" if spread_out else ""), type="log" if spread_out else "linear"
    )
    if spread_out:
        figure.update_xaxes(dtick="D2")
    figure.update_yaxes(title="Training loss, nats a token")
    return _styled(figure, palette, height=300, legend=True)


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential mean, corrected for its start, as Adam corrects its moments."""
    keep = 1 - 1 / (1 + len(values) / _SMOOTHED)
    smooth, mean = [], 0.0
    for n, value in enumerate(values, start=1):
        mean = keep * mean + (1 - keep) * value
        smooth.append(mean / (1 - keep**n))
    return smooth


def composition(picked: Mapping[str, int], pool: Mapping[str, int] | None = None, *, theme: str = "light") -> go.Figure:
    """Draw which sources a selection is made of, in percent, beside the pool's own shares where they are given.

    Parameters
    ----------
    picked, pool : mapping of source to number of examples
        The largest sources of the selection are shown, the others as one.
    """
    palette = PALETTES[theme]
    names = sorted(picked, key=lambda name: (-picked[name], name))[:_SOURCES]
    figure = go.Figure()
    series = [("Selection", picked, palette.picked)]
    if pool:
        series.insert(0, ("Pool", pool, palette.pool))
    for title, counts, colour in series:
        total = max(1, sum(counts.values()))
        values = [counts.get(name, 0) for name in names]
        labels = [label(name) for name in names]
        rest = total - sum(values)
        if rest > 0:
            values.append(rest)
            labels.append("all others")
        figure.add_bar(
            y=labels,
            x=[100 * value / total for value in values],
            customdata=values,
            orientation="h",
            name=title,
            marker_color=colour,
            hovertemplate=f"{title}: %{{customdata:,}} examples, %{{x:.1f}} %<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, type="category")
    figure.update_xaxes(title="Share of examples, %", fixedrange=True, rangemode="tozero")
    figure.update_layout(barmode="group", bargap=0.3)
    return _styled(figure, palette, height=110 + 34 * (len(names) + 1), legend=bool(pool))


def _colour(arm: str, palette: Palette) -> str:
    colours = {"zero_shot": palette.pool, "random": palette.categories[6], "selected": palette.picked}
    return colours.get(arm, palette.pinned)


def _styled(figure: go.Figure, palette: Palette, *, height: int, legend: bool) -> go.Figure:
    figure.update_layout(**look(palette, height))
    figure.update_layout(
        margin={"l": 8, "r": 24, "t": 34 if legend else 12, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    figure.update_xaxes(gridcolor=palette.line, zeroline=False, automargin=True, title_font_size=13, title_standoff=8)
    figure.update_yaxes(gridcolor=palette.line, zeroline=False, automargin=True, title_font_size=13)
    return figure
