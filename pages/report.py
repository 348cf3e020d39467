"""Report: the selection card to hand on, and everything that makes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import comparison, export, publishing, report, results, workbench
from pages import _round
from pages import _shell as ui

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

HEIGHT = 900


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Report", "One card that says what was chosen, from what, how, and with what effect.")
    if not workbench.represented(ws, pid) and not any(r.result for r in results.experiments(ws, pid)):
        ui.empty("There is nothing to report yet: compute a representation and select first.", "Represent", "represent")
        return
    head = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    chosen, record = _choose(ws, pid, head)
    if chosen is None:
        ui.empty("Compute a representation of the present data to report on its selection.", "Represent", "represent")
        return
    if record is None:
        st.info(
            "Nothing was tuned on this selection, so the card can't say what it is worth. Tune it on the Train page.",
            icon=":material/info:",
        )
    with st.spinner("Writing the card …"):
        records = report.of_project(ws, pid, chosen, record)
        page = report.html(records)
    with head:
        _push(ws, records)
    _downloads(ws, records, page)
    card, further = st.tabs(["Preview", "Next round"], key="part", bind="query-params", on_change="rerun")
    if card.open:
        with card, st.container(border=True, key="card"):
            st.iframe(page, height=HEIGHT)
    if further.open:
        with further, ui.guard():
            _round.draw(ws, pid, chosen, record)


def _choose(
    ws: ui.Workspace, pid: str, head: DeltaGenerator
) -> tuple[comparison.Saved | None, results.ExperimentRecord | None]:
    """What the card is of: an experiment with the selection it tuned on, or a selection alone, if there is one."""
    experiments = {f"experiment-{r.experiment.id}": r for r in results.experiments(ws, pid) if r.result}
    saved = {f"saved-{s.subset}": s for s in ws.selections(pid)}
    names = {k: f"Experiment: {r.name}" for k, r in experiments.items()}
    represented = bool(workbench.represented(ws, pid))  # not yet where a new round has just begun
    if represented:
        names |= {"present": "Selection as it stands on the Curate page"}
    names |= {k: f"Saved selection: {s.name} v{s.version}" for k, s in saved.items()}
    key = head.selectbox(
        "Report on",
        list(names),
        format_func=lambda k: names[k],
        key=ui.key("report-on"),
        bind="query-params",
        width=520,
    )
    if key in saved:
        opened = comparison.open_saved(ws, saved[key])
        return opened, report.experiment_on(ws, pid, opened)
    if key in experiments:
        if tuned := report.tuned_on(ws, pid, experiments[key]):
            return tuned, experiments[key]
        st.warning(
            "The picks that this experiment tuned on are neither saved nor the present ones, so there is no card of "
            "it. What follows is about the present selection.",
            icon=":material/warning:",
        )
    if not represented:
        return None, None
    present = comparison.as_saved(ws, workbench.view(ws, pid))
    return present, report.experiment_on(ws, pid, present)


def _downloads(ws: ui.Workspace, records: report.Records, page: str) -> None:
    """Everything to take away; files are made when asked for."""

    def part(name: str) -> Any:
        return lambda: export.contents(ws, records)[name]

    files = (
        ("Card, HTML", "selection-card.html", "text/html", lambda: page),
        ("Card, Markdown", "selection-card.md", "text/markdown", lambda: report.markdown(records)),
        ("Data set card", "README.md", "text/markdown", part("README.md")),
        ("Subset, JSONL", "subset.jsonl", "application/jsonl", part("subset.jsonl")),
        ("Subset, Parquet", "subset.parquet", "application/octet-stream", part("subset.parquet")),
        ("Config to replay", "run.json", "application/json", part("run.json")),
        ("All of it, zip", "selection.zip", "application/zip", lambda: export.archive(ws, records)),
    )
    with st.container(horizontal=True, key="downloads"):
        for label, name, kind, make in files:
            st.download_button(
                label,
                make,
                name,
                kind,
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{name}",
                type="primary" if name.endswith(".html") else "secondary",
            )
    st.caption("The replay config goes to `winnow run run.json`, which makes the same subset, byte for byte.")


@st.fragment  # what is typed here does not write the card anew
def _push(ws: ui.Workspace, records: report.Records) -> None:
    """Send it to the hub, once it is told what goes where."""
    with st.popover("Push to the hub", icon=":material/cloud_upload:", key=ui.key("push"), on_change="rerun") as opened:
        if not opened.open:
            return
        repo = st.text_input("Data set", placeholder="owner/name", key=ui.key("push-to"), width=420).strip()
        private = st.toggle("Private: only those whom you let may read it", value=True, key=ui.key("push-private"))
        with ui.guard():
            where = ui.plain(publishing.place(repo or "owner/name"))
            st.markdown(
                f"**What leaves this machine:** {ui.plain(publishing.what_leaves(records))}. It goes to {where}."
            )
            st.caption("Files of the same names are replaced there. The hub's own login is used (`hf auth login`).")
            label = f"Push {ui.counted(len(records.subset), 'example')}"
            if st.button(label, type="primary", disabled=not repo, icon=":material/cloud_upload:"):
                with st.spinner("Sending …"):
                    url = publishing.push(ws, records, repo, private=private)
                st.success("Pushed, in one commit.", icon=":material/check:")
                st.link_button("See it on the hub", url, icon=":material/open_in_new:")


main()
