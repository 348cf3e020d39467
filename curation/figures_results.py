"""Results → Plotly figures: arms with error bars and single seeds, loss curves, composition of a selection.

Plain figures that a page and the report draw alike; no Streamlit. Names from data are escaped, since Plotly reads
tags in labels. `theme` is "light" or "dark", as in `figures`, which has the palettes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from curation.budgets import Line, Point, lines
from curation.design import base_of
from curation.figures import PALETTES, Palette, label, look
from curation.findings import judged_arms, main_metric
from curation.wording import arm_label, in_order, interval, is_loss, metric_label, shown

if TYPE_CHECKING:
    from curation.rounds import Round

_FADED = 0.22
_BAND = 0.12  # several lie over each other
_SMOOTHED = 12  # the running mean is over about a twelfth of a curve
_POINTS = 400  # most points a line has
_SOURCES = 12
_DASHED: dict[str, Any] = {"mode": "lines+markers", "line_dash": "dash", "marker_symbol": "diamond"}


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
    names = judged_arms(result, metric)
    colours = _colours(names, palette)
    figure = go.Figure()
    if "zero_shot" in names and len(names) > 1:
        base = scale * result["arms"]["zero_shot"]["metrics"][metric]["mean"]
        figure.add_vline(base, line={"dash": "dot", "width": 1.5, "color": palette.pool}, layer="below")
    for place, arm in enumerate(names):
        told = result["arms"][arm]["metrics"][metric]
        mean, colour = scale * told["mean"], colours[base_of(arm)]
        low, high = (mean if told[k] is None else scale * told[k] for k in ("low", "high"))
        hover = f"{label(arm_label(arm))}: {interval(metric, told)}<extra></extra>"
        figure.add_scatter(
            x=[low, high], y=[place, place], mode="lines", line={"color": colour, "width": 4}, hoverinfo="skip"
        )
        figure.add_scatter(
            x=[mean],
            y=[place],
            mode="markers",
            marker={"color": colour, "size": 13},
            hovertemplate=hover,
            name=label(arm_label(arm)),
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
    ticks = [label(arm_label(arm)) + _count(result, arm) for arm in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=ticks,
        range=[len(names) - 0.4, -0.7],
        showgrid=False,
        fixedrange=True,
    )
    figure.update_xaxes(title=_axis(metric), fixedrange=True)
    if not is_loss(metric):  # from zero, with room for a mark that stands on it
        told = [result["arms"][arm]["metrics"][metric] for arm in names]
        top = max(100 * max(t["mean"], t["high"] or 0, *t["per_seed"]) for t in told)
        figure.update_xaxes(range=[-0.03 * top, 1.05 * top] if top else [-1, 10])
    return styled(figure, palette, height=70 + 62 * len(names), legend=False)


def _count(result: Mapping[str, Any], arm: str) -> str:
    """How many examples an arm has, where its name does not say so."""
    n = result["arms"][arm]["n_examples"]
    return f" · {n:,}" if n and "@" not in arm else ""


def losses(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], *, planned: Sequence[int] = (), theme: str = "light"
) -> go.Figure:
    """Draw the losses of each arm: each training's steps faintly, their running mean over them, the queries' dashed.

    Parameters
    ----------
    curves : mapping of arm to sequence of points
        Points with ``seed``, ``step`` and ``loss`` or ``query_loss`` in the order of steps, as a result's ``curves``
        has them.
    planned : sequence of int
        Optimizer steps of each training while some are under way, so that the axis stays the same to the end.
    """
    palette = PALETTES[theme]
    figure = go.Figure()
    longest = []
    colours = _colours(curves, palette)
    for arm in in_order(curves):
        seeds = _by_seed(curves[arm], "loss")
        for number, (seed, points) in enumerate(seeds.items()):
            steps, values = [p["step"] for p in points], [p["loss"] for p in points]
            smooth, few = _running_mean(values), slice(None, None, -(-len(steps) // _POINTS))
            steps, values, smooth = steps[few], values[few], smooth[few]
            longest.append(steps[-1])
            line = {"color": colours[base_of(arm)], "width": 1}
            figure.add_scatter(x=steps, y=values, mode="lines", line=line, opacity=_FADED, hoverinfo="skip")
            figure.data[-1].showlegend = False
            figure.add_scatter(
                x=steps,
                y=smooth,
                mode="lines" if len(steps) > 1 else "markers",
                line={**line, "width": 2.5},
                name=label(arm_label(arm)),
                legendgroup=arm,
                showlegend=number == 0,
                hovertemplate=f"{label(arm_label(arm))}, seed {seed}, step %{{x}}: %{{y:.3f}}<extra></extra>",
            )
    lengths = planned or longest
    spread_out = lengths and max(lengths) > 4 * min(lengths)
    watched = False
    for arm in in_order(curves):
        for seed, points in _by_seed(curves[arm], "query_loss").items():
            figure.add_scatter(
                x=[p["step"] or (0.5 if spread_out else 0) for p in points],  # a logarithmic axis has no 0
                y=[p["query_loss"] for p in points],
                mode="lines+markers",
                line={"color": colours[base_of(arm)], "width": 1.5, "dash": "dash"},
                marker={"size": 8, "symbol": "diamond"},
                legendgroup=arm,
                showlegend=False,
                hovertemplate=f"{label(arm_label(arm))}, seed {seed}, on the queries: %{{y:.3f}}<extra></extra>",
            )
            watched = True
    if watched:  # what the two kinds of lines mean, once
        for text, look_of in (("on its own rows", {"mode": "lines"}), ("on the queries", _DASHED)):
            figure.add_scatter(x=[None], y=[None], line_color=palette.pool, name=text, hoverinfo="skip", **look_of)
    figure.update_xaxes(
        title="Optimizer step" + (" (logarithmic)" if spread_out else ""), type="log" if spread_out else "linear"
    )
    if spread_out:
        figure.update_xaxes(dtick="D2")
    figure.update_yaxes(title=f"{'Loss' if watched else 'Training loss'}, nats a token")
    return styled(figure, palette, height=300, legend=True)


def _by_seed(points: Sequence[Mapping[str, Any]], name: str) -> dict[Any, list[Mapping[str, Any]]]:
    """Points that hold `name`, by seed."""
    seeds: dict[Any, list[Mapping[str, Any]]] = {}
    for point in points:
        if name in point:
            seeds.setdefault(point["seed"], []).append(point)
    return seeds


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
    return styled(figure, palette, height=110 + 34 * (len(names) + 1), legend=bool(pool))


def budgets(result: Mapping[str, Any], metric: str = "", *, theme: str = "light") -> go.Figure:
    """Draw metric against budget: a line with its 95 % band for each selection and for random, a ring at its knee.

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
    figure = go.Figure()
    for name, text in (("zero_shot", "untuned"), ("full", "full pool")):
        if name in result["arms"]:
            at = scale * result["arms"][name]["metrics"][metric]["mean"]
            dash = {"dash": "dot" if name == "zero_shot" else "dash", "width": 1.5, "color": palette.pool}
            note = {"text": text, "font_color": palette.pool}
            figure.add_hline(at, line=dash, layer="below", annotation=note, annotation_position="top left")
    colours = _colours(result["arms"], palette)
    for line in lines(result, metric):
        colour = colours[line.base]
        sizes = [p.budget for p in line.points]
        ends = [[scale * (p.mean if end is None else end) for p, end in ends] for ends in _ends_of(line)]
        shade = {
            "mode": "lines",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": line.base,
        }
        figure.add_scatter(x=sizes, y=ends[0], **shade)
        figure.add_scatter(x=sizes, y=ends[1], fill="tonexty", fillcolor=_faded(colour), **shade)
        figure.add_scatter(
            x=sizes,
            y=[scale * p.mean for p in line.points],
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            name=label(arm_label(line.base)),
            legendgroup=line.base,
            hovertemplate=f"{label(arm_label(line.base))}, %{{x:,}} examples: %{{y:.3g}}<extra></extra>",
        )
        for point in (p for p in line.points if p.budget == line.knee):
            figure.add_scatter(
                x=[point.budget],
                y=[scale * point.mean],
                mode="markers",
                marker={"color": colour, "size": 17, "symbol": "circle-open", "line": {"width": 2.5}},
                hovertemplate=f"from {point.budget:,} examples on no larger budget is told to be better<extra></extra>",
                showlegend=False,
            )
    sizes = sorted({p.budget for line in lines(result, metric) for p in line.points})
    figure.update_xaxes(title="Budget, examples (logarithmic)", type="log", tickvals=sizes, ticktext=[*map(str, sizes)])
    figure.update_yaxes(title=_axis(metric))
    return styled(figure, palette, height=360, legend=True)


def _axis(metric: str) -> str:
    better, unit = ("lower", "nats a token") if is_loss(metric) else ("higher", "%")
    return f"{metric_label(metric)}, {unit} ({better} is better)"


def _ends_of(line: Line) -> list[list[tuple[Point, float | None]]]:
    return [[(p, p.low) for p in line.points], [(p, p.high) for p in line.points]]


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_BAND})"


def quantiles(check: Mapping[str, Any], metric: str, *, theme: str = "light") -> go.Figure:
    """Draw a quantile check: the metric of each part of the pool against its rows' distance to the queries.

    Parameters
    ----------
    check : mapping
        As `curation.quantiles.check` returns it.
    metric : str
        One of its metrics.
    """
    scale = 1.0 if is_loss(metric) else 100.0
    palette = PALETTES[theme]
    figure = go.Figure()
    numbers = [n for n, part in enumerate(check["parts"]) if "metrics" in part]  # the others diverged
    told = [check["parts"][n]["metrics"][metric] for n in numbers]
    figure.add_scatter(
        x=[check["parts"][n]["distance"] for n in numbers],
        y=[scale * t["mean"] for t in told],
        error_y=_bars(told, scale),
        mode="lines+markers+text",
        text=[str(n + 1) for n in numbers],
        textposition="top right",
        line={"color": palette.picked, "width": 1.5},
        marker={"size": 10},
        hovertemplate="part %{text}, distance %{x:.3f}: %{y:.3g}<extra></extra>",
    )
    figure.update_xaxes(title="Mean distance of the tuned rows to the queries")
    figure.update_yaxes(title=_axis(metric))
    return styled(figure, palette, height=340, legend=False)


def rounds(told: Sequence[Round], metric: str, *, theme: str = "light") -> go.Figure:
    """Draw what each round's selection reached beside random picks, with 95 % intervals, and the untuned model.

    Parameters
    ----------
    told : sequence of Round
        As `curation.rounds.rounds` returns them; those that are not comparable are left out.
    metric : str
        One that every round was judged by.
    """
    scale = 1.0 if is_loss(metric) else 100.0
    palette = PALETTES[theme]
    figure = go.Figure()
    judged = [(r.number, r.record.result) for r in told if r.comparable and r.record]
    results = [(number, result["arms"]) for number, result in judged if result]
    colours = _colours((), palette)
    for arm, beside in (("random", -0.04), ("selected", 0.04)):  # intervals side by side
        points = [(number + beside, arms[arm]["metrics"][metric]) for number, arms in results if arm in arms]
        figure.add_scatter(
            x=[place for place, _ in points],
            y=[scale * p["mean"] for _, p in points],
            error_y=_bars([p for _, p in points], scale),
            mode="lines+markers",
            line={"color": colours[arm], "width": 2},
            marker={"size": 10},
            name=arm_label(arm),
            hovertemplate=f"{arm_label(arm)}: %{{y:.3g}}<extra></extra>",
        )
    if results and "zero_shot" in results[0][1]:
        base = scale * results[0][1]["zero_shot"]["metrics"][metric]["mean"]
        line = {"dash": "dot", "width": 1.5, "color": palette.pool}
        figure.add_hline(base, line=line, layer="below", annotation_text="untuned", annotation_font_color=palette.pool)
    names = [f"Round {r.number}<br>{r.n_queries:,} quer{'y' if r.n_queries == 1 else 'ies'}" for r in told]
    numbers = [r.number for r in told]
    figure.update_xaxes(tickvals=numbers, ticktext=names, range=[0.5, len(told) + 0.5], showgrid=False, fixedrange=True)
    figure.update_yaxes(title=_axis(metric), fixedrange=True)
    return styled(figure, palette, height=320, legend=True)


def _bars(told: Sequence[Mapping[str, Any]], scale: float) -> dict[str, Any]:
    """Bars from each mean to its interval's ends; an end that is None is infinite and gets none."""
    up, down = ([0.0 if t[end] is None else scale * abs(t[end] - t["mean"]) for t in told] for end in ("high", "low"))
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def _colours(arms: Iterable[str], palette: Palette) -> dict[str, str]:
    """What arms are of → colour, the same for all its sizes."""
    known = {
        "zero_shot": palette.pool,
        "random": palette.categories[6],
        "off_task": palette.categories[2],
        "selected": palette.picked,
        "full": palette.pinned,
    }
    others = sorted({base_of(arm) for arm in arms} - known.keys())
    return known | {base: palette.categories[(3, 4, 5, 7, 8)[n % 5]] for n, base in enumerate(others)}


def styled(figure: go.Figure, palette: Palette, *, height: int, legend: bool) -> go.Figure:
    """Give a figure the look that all results have."""
    figure.update_layout(**look(palette, height))
    figure.update_layout(
        margin={"l": 8, "r": 24, "t": 34 if legend else 12, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    figure.update_xaxes(gridcolor=palette.line, zeroline=False, automargin=True, title_font_size=13, title_standoff=8)
    figure.update_yaxes(gridcolor=palette.line, zeroline=False, automargin=True, title_font_size=13)
    return figure
