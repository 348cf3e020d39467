"""The rows of one data set: searched and paged, one read whole with its learned tokens; the rejected ones; checks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import browsing, jobs, tasks, workbench
from curation.data.rows import RowError
from pages import _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import DatasetRow
    from curation.workspace import Workspace

PAGE = 25
HEIGHT = 600  # of the table and of the row beside it
METHODS = {
    "generation_mark": "the model's chat template marks its answers",
    "trl_training_template": "by TRL's training template for this model family",
    "prefix_difference": "by comparing the template with and without the answer",
    "tulu": "the model has no chat template, so the Tulu form is used",
}
COLUMNS = {
    "row": st.column_config.NumberColumn("Row", width=60),
    "prompt": st.column_config.TextColumn("Prompt", width=260),
    "answer": st.column_config.TextColumn("Answer", width=180),
    "turns": st.column_config.NumberColumn("Turns", width=60),
    "source": st.column_config.TextColumn("Source", width="small"),
    "characters": st.column_config.NumberColumn("Characters", width=90, format="localized"),
    "tags": st.column_config.TextColumn("Tags", width="small"),
}


def table(ws: Workspace, pid: str, _role: str, dataset: DatasetRow) -> None:
    """Draw the rows, a page at a time, and beside them the one that is opened."""
    find, pick = st.columns([3, 1], vertical_alignment="bottom")
    search = find.text_input(
        "Search",
        key="find",
        bind="query-params",
        on_change=_first_page,
        placeholder="words that the conversation holds",
        icon=":material/search:",
    )
    found = browsing.tags(ws, dataset.key)
    tags = {} if found is None else dict(zip(found["tag"], found["rows"], strict=True))
    tag = pick.selectbox(
        "Tag",
        ["", *tags],
        format_func=lambda t: t or "any",
        key="tag",
        bind="query-params",
        on_change=_first_page,
        disabled=not tags,
        help="; ".join(f"{t}: {n:,}" for t, n in tags.items()) or "The checks give rows their tags.",
    )
    total = browsing.count(ws, dataset.key, search=search, tag=tag)
    if not total:
        st.info("No row matches.", icon=":material/search_off:")
        return
    rows = f"{dataset.key}-{search}-{tag}"
    page = _pages(total, ui.key(f"at-{rows}"))
    frame = browsing.rows(ws, dataset.key, offset=page * PAGE, limit=PAGE, search=search, tag=tag)
    side_by_side = st.grid(min_column_width=440, gap="medium")
    name = ui.key(f"rows-{page}-{rows}")
    linked = frame.index[frame["row"].astype(str) == st.query_params.get("row", "")].tolist()
    with side_by_side.cell():
        event = st.dataframe(
            frame,
            height=HEIGHT,
            hide_index=True,
            column_order=[c for c in COLUMNS if c in frame],
            column_config=COLUMNS,
            on_select="rerun",
            selection_mode="single-row",
            selection_default={"selection": {"rows": linked}} if linked and name not in st.session_state else None,
            key=name,
        )
    with side_by_side.cell(), ui.guard():
        if chosen := event.selection.rows:
            row = int(frame["row"].iloc[chosen[0]])
            st.query_params["row"] = str(row)
            _one(ws, pid, dataset, row)
        else:
            st.query_params.pop("row", None)
            ui.empty("Tick a row to read it whole.")


def _first_page() -> None:
    st.query_params.pop("at", None)


def leave() -> None:
    """Forget what was searched and which page was open, when another set is shown."""
    st.session_state.update({"show": "Rows", "find": "", "tag": ""})
    for param in ("at", "rejected", "row"):
        st.query_params.pop(param, None)


def _pages(total: int, name: str, param: str = "at") -> int:
    """Draw the number of rows and the pages they make; return the page on screen, from 0, which the link keeps."""
    last = -(-total // PAGE)
    linked = st.query_params.get(param, "")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(ui.counted(total, "row"))
        if last == 1:
            return 0
        chosen = st.pagination(last, default=min(max(int(linked), 1), last) if linked.isdigit() else 1, key=name)
    if chosen > 1:
        st.query_params[param] = str(chosen)
    else:
        st.query_params.pop(param, None)
    return chosen - 1


def _one(ws: Workspace, pid: str, dataset: DatasetRow, row: int) -> None:
    """One row as a conversation, or as the model's tokens."""
    example = browsing.example(ws, dataset.key, row)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f":gray[{ui.plain(_origin(example))}]")
        as_tokens = st.toggle("Show what the model learns", key=ui.key("as-tokens"))
    if as_tokens:
        _learned(example, pid, ws)
    else:
        ui.conversation(example, height=HEIGHT - 60)
    if example.extra != "{}":
        with st.expander("Other columns"):
            st.code(example.extra, language="json", wrap_lines=True)


def _origin(example: Any) -> str:
    told = {"source": example.source, "group": example.group, "licence": example.licence, "id": example.user_id}
    return " · ".join(f"{name} {value}" for name, value in told.items() if value) or "no source given"


def _learned(example: Any, pid: str, ws: Workspace) -> None:
    model = workbench.settings(ws, pid).model
    if model is None:
        ui.empty("Which tokens are learned depends on the model's chat template.", "Choose a base model", "represent")
        return
    try:
        with st.spinner("Opening the tokenizer …"):
            found = browsing.learned(example, model)
    except RowError as error:
        st.warning(f"This row can't be learned from: {ui.plain(error)}.", icon=":material/block:")
        return
    with st.container(border=True, height=HEIGHT - 100):
        st.html(f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{"".join(map(_span, found.runs))}</div>')
    st.caption(
        f"{found.n_learned:,} of {found.n_tokens:,} tokens are learned (marked). Answers are found: "
        f"{METHODS[found.method]}."
    )


def _span(run: tuple[str, bool]) -> str:
    """Return one run of tokens as HTML; its text is data, so every character of it is escaped."""
    text = html.escape(run[0], quote=True)
    mark = "background:rgba(27,154,132,.22);border-radius:3px;box-shadow:0 0 0 2px rgba(27,154,132,.22)"
    return f'<span style="{mark}">{text}</span>' if run[1] else f'<span style="opacity:.72">{text}</span>'


# ------------------------------------------------------------------------------------------------- rejected, checks


def rejected(ws: Workspace, _pid: str, _role: str, dataset: DatasetRow) -> None:
    """Draw every rejected row with its line, the reason and what stood there."""
    if not dataset.n_rejected:
        st.success("Every row was accepted.", icon=":material/check_circle:")
        return
    reasons = browsing.reasons(ws, dataset.key)
    st.dataframe(
        reasons,
        hide_index=True,
        width=640,
        column_config={
            "reason": st.column_config.TextColumn("Reason", width=520),
            "rows": st.column_config.NumberColumn("Rows", format="localized"),
        },
    )
    page = _pages(dataset.n_rejected, ui.key(f"rejected-{dataset.key}"), "rejected")
    st.dataframe(
        ws.rejects(dataset.key, offset=page * PAGE, limit=PAGE),
        hide_index=True,
        column_config={
            "line": st.column_config.NumberColumn("Line", width=70),
            "reason": st.column_config.TextColumn("Reason", width="medium"),
            "raw": st.column_config.TextColumn("The row as it stands in the file", width="large"),
        },
    )
    st.download_button(
        "Download the rejected rows",
        lambda: browsing.rejects_bytes(ws, dataset.key),
        file_name=f"{dataset.name}.rejected.jsonl",
        icon=":material/download:",
        on_click="ignore",
        key=ui.key(f"rejects-download-{dataset.key}"),
    )


def checks(ws: Workspace, pid: str, role: str, dataset: DatasetRow) -> None:
    """Draw what the checks found: tags and their counts; they filter rows and remove none."""
    job = _jobs.watch(ws, pid, "check")
    found = browsing.tags(ws, dataset.key)
    if found is None:
        st.markdown(
            "Look for duplicates, near-duplicates, rows that hold a query or a test prompt, very short or very long "
            "ones, refusals and other languages. Rows get tags to filter by; none is removed."
        )
    elif found.empty:
        st.success("Nothing stood out.", icon=":material/check_circle:")
    else:
        st.caption("Tags filter the list of rows; none is removed.")
        st.dataframe(
            found,
            hide_index=True,
            column_config={
                "tag": st.column_config.TextColumn("Tag", width=130),
                "meaning": st.column_config.TextColumn("What it means", width="large"),
                "rows": st.column_config.NumberColumn("Rows", width="small", format="localized"),
                "share": st.column_config.ProgressColumn("Share", width="small", format="percent", max_value=1.0),
            },
        )
    if (job is None or job.state not in jobs.ACTIVE) and st.button(
        "Check the rows" if found is None else "Check again",
        type="primary" if found is None else "secondary",
        icon=":material/fact_check:",
        key=ui.key(f"check-{role}"),
    ):
        tasks.start(ws, pid, "check", {"role": role}, f"Check {dataset.name}")
        st.rerun()
