"""The Curate page's figures in full: distances beside random and bound, repeats, stability, composition, noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import workbench
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.views import View

DISTANCES = {
    "mean_nearest": "Distance to the nearest pick, mean over queries",
    "wasserstein": "Wasserstein distance to the query set",
    "mmd": "Maximum mean discrepancy (MMD) to the query set",
}
BUSY = "Measuring: distances, repeats, and the same selection for other draws of the queries …"


def draw(view: View) -> None:
    """Draw the button that opens the figures; they are computed then."""
    if len(view.subset) and st.button("All figures", type="tertiary", key=ui.key("figures")):
        _all(view)


@st.dialog("How near, how varied, how sure", width="large")
def _all(view: View) -> None:
    with ui.guard():
        with st.spinner(BUSY):
            told = workbench.understanding(ui.workspace(), view)
        table(told)
        _composition(told)
        _noise(told)


def table(told: dict[str, Any]) -> None:
    """Draw one selection's figures, each beside a random selection's and the best that any could reach."""
    rows = [(title, told["distances"][name]) for name, title in DISTANCES.items() if name in told["distances"]]
    shown = [(title, *(_number(d.get(k)) for k in ("value", "random", "bound"))) for title, d in rows]
    share = told["redundancy"]
    shown.append(("Picks that nearly repeat another", _share(share["value"]), _share(share["random"]), "–"))
    if extra := told["near_duplicates"]:
        shown.append(("Near-duplicates too many", f"{extra['value']:,}", f"{extra['random']:,}", "–"))
    shown.append(("Queries uncovered", f"{len(told['uncovered']):,}", "–", "–"))
    if told["stability"] is not None:
        shown.append(("Stability of the picks", f"{told['stability']:.2f}", "–", "1.00"))
    columns = ("", "This selection", "Random", "Best possible")
    st.dataframe(
        {name: [row[i] for row in shown] for i, name in enumerate(columns)}, hide_index=True, key=ui.key("figures.all")
    )


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _composition(told: dict[str, Any]) -> None:
    n_picked = max(1, told["n_picked"])
    for tab, (kind, parts) in zip(
        st.tabs([f"By {kind}" for kind in told["composition"]]), told["composition"].items(), strict=True
    ):
        whole = max(1, sum(part["pool"] for part in parts.values()))
        tab.dataframe(
            {
                kind.capitalize(): list(parts),
                "Picked": [part["picked"] for part in parts.values()],
                "Share of picks": [f"{part['picked'] / n_picked:.0%}" for part in parts.values()],
                "Share of pool": [f"{part['pool'] / whole:.0%}" for part in parts.values()],
            },
            hide_index=True,
            height=min(220, 40 + 35 * len(parts)),
            key=ui.key(f"figures.{kind}"),
        )


def _noise(told: dict[str, Any]) -> None:
    if told["noise"] is None:
        st.caption("The quality check of the Data page has not run, so nothing is said about empty or odd rows.")
        return
    found = {tag: n for tag, n in told["noise"].items() if n["picked"]}
    if found:
        st.dataframe(
            {
                "Flagged by the quality check": [n["meaning"] for n in found.values()],
                "Picked": [n["picked"] for n in found.values()],
                "Expected at random": [f"{n['expected']:.1f}" for n in found.values()],
            },
            hide_index=True,
            key=ui.key("figures.noise"),
        )
    else:
        st.caption("No pick is flagged by the quality check.")
