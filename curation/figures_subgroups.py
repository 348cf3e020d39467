"""An arm's difference from its baseline in each subgroup of the test rows, as a Plotly figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from curation.figures import PALETTES, label
from curation.figures_results import styled
from curation.wording import arm_label, difference, is_loss, metric_label

if TYPE_CHECKING:
    from curation.evaluation.subgroups import Subgroup

_SUBGROUPS = 20


def subgroups(found: Mapping[str, Subgroup], metric: str, arms: tuple[str, str], *, theme: str = "light") -> go.Figure:
    """Draw an arm's difference from a baseline in each subgroup, with its 95 % interval; faint where rows are few.

    Parameters
    ----------
    found : mapping of name to Subgroup
        As `curation.breakdown.breakdown` returns it; the first twenty are drawn.
    metric : str
        Which metric.
    arms : (str, str)
        The arm and its baseline.
    """
    scale = 1.0 if is_loss(metric) else 100.0
    palette = PALETTES[theme]
    figure = go.Figure()
    figure.add_vline(0, line={"dash": "dot", "width": 1.5, "color": palette.pool}, layer="below")
    shown = [(name, one) for name, one in found.items() if metric in one.differences][:_SUBGROUPS]
    for place, (name, one) in enumerate(shown):
        told = one.differences[metric]
        ends = [scale * (end if math.isfinite(end) else told.mean) for end in (told.low, told.high)]
        look_of = {"color": palette.picked, "opacity": 0.4 if one.warning else 1.0}
        figure.add_scatter(
            x=ends,
            y=[place, place],
            mode="lines",
            line={"color": look_of["color"], "width": 4},
            opacity=look_of["opacity"],
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[scale * told.mean],
            y=[place],
            mode="markers",
            marker={**look_of, "size": 12},
            hovertemplate=f"{label(name)}: {difference(metric, told.to_dict())}<extra></extra>",
        )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[f"{label(name)} · {one.differences[metric].n_examples:,}" for name, one in shown],
        range=[len(shown) - 0.4, -0.6],
        showgrid=False,
        fixedrange=True,
    )
    unit = "nats a token" if is_loss(metric) else "points"
    against = f"{label(arm_label(arms[0]))} minus {label(arm_label(arms[1]).lower())}"
    figure.update_xaxes(title=f"{metric_label(metric)}, {against}, {unit}", fixedrange=True)
    return styled(figure, palette, height=70 + 44 * len(shown), legend=False)
