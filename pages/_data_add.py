"""Adding a data set: where it comes from, which column means what, a look at its first rows, and loading it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import browsing, pipeline, tasks
from curation.config import DatasetConfig, Mapping
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import DatasetRow
    from curation.workspace import Workspace

SMALL = 20 << 20  # bytes: up to here a file is loaded at once, beyond it as a job
ENDINGS = ["jsonl", "json", "csv", "tsv", "parquet", "gz", "zst"]
SCHEMAS = {
    "messages": "Messages: a list of role and content",
    "sharegpt": "ShareGPT: conversations with from and value",
    "alpaca": "Alpaca: instruction, input, output",
    "prompt_response": "Prompt and response",
    "question_answer": "Question and answer",
}
TEXT_COLUMNS = {
    "messages": ("messages",),
    "sharegpt": ("messages", "system"),
    "alpaca": ("prompt", "input", "response", "system"),
    "prompt_response": ("prompt", "response", "system"),
    "question_answer": ("prompt", "response", "system"),
}
SIDE_COLUMNS = ("id", "group", "source", "licence")


def tab(ws: Workspace, pid: str, role: str, _: DatasetRow) -> None:
    """Draw the form under a data set that is loaded already."""
    st.caption("The one in use is kept; you can switch back at any time.")
    form(ws, pid, role)


def form(ws: Workspace, pid: str, role: str) -> None:
    """Draw the whole way from a source to a loaded data set."""
    sources = {"Upload": _upload, "Path": _path, "Hugging Face hub": _hub, "Paste": _paste}
    source = st.segmented_control(
        "From", list(sources), default="Upload", required=True, key=ui.key(f"from-{role}"), label_visibility="collapsed"
    )
    with ui.guard():
        config = sources[source or "Upload"](ws, role)
        if config is not None:
            _settle(ws, pid, role, config)


# --------------------------------------------------------------------------------------------------------- sources


def _upload(ws: Workspace, role: str) -> DatasetConfig | None:
    file = st.file_uploader(
        "JSONL, JSON, CSV, TSV or Parquet; plain, .gz or .zst",
        type=ENDINGS,
        key=ui.key(f"upload-{role}"),
        help="Uploads pass through memory. For a file over 500 MB give its path on this machine, or a hub id.",
    )
    return None if file is None else _file(str(ws.store_upload(file.name, file)), role)


def _path(_: Workspace, role: str) -> DatasetConfig | None:
    path = st.text_input(
        "Path of a file on this machine", key=ui.key(f"path-{role}"), placeholder="/data/pool.jsonl.gz"
    )
    return _file(str(Path(path.strip()).expanduser()), role) if path.strip() else None


def _paste(ws: Workspace, role: str) -> DatasetConfig | None:
    format = st.segmented_control(
        "Format",
        ["jsonl", "json", "csv", "tsv"],
        default="jsonl",
        required=True,
        format_func=str.upper,
        key=ui.key(f"paste-format-{role}"),
    )
    text = st.text_area(
        "Rows",
        height=180,
        key=ui.key(f"paste-{role}"),
        placeholder='{"prompt": "Name a river in Spain.", "response": "The Ebro."}',
    )
    return DatasetConfig(path=str(ws.store_upload(f"pasted.{format}", text.encode())), format=format) if text else None


def _file(path: str, role: str) -> DatasetConfig:
    formats = {"auto": "Find out", "jsonl": "JSONL", "json": "JSON", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}
    format = st.selectbox("Format", list(formats), format_func=formats.get, key=ui.key(f"format-{role}"), width=200)
    return DatasetConfig(path=path, format=format)


def _hub(_: Workspace, role: str) -> DatasetConfig | None:
    name, split, subset, revision = st.columns([3, 1, 1, 1])
    path = name.text_input("Data set", key=ui.key(f"hub-{role}"), placeholder="owner/name")
    options = {
        "split": split.text_input("Split", "train", key=ui.key(f"split-{role}")),
        "subset": subset.text_input("Subset", key=ui.key(f"subset-{role}"), help=_said("subset")),
        "revision": revision.text_input("Revision", key=ui.key(f"revision-{role}"), help=_said("revision")),
    }
    return DatasetConfig(path=path.strip(), hub=True, **options) if path.strip() else None


def _said(name: str) -> str:
    return next(f.metadata["help"] for f in dataclasses.fields(DatasetConfig) if f.name == name)


# ------------------------------------------------------------------------------------------------ mapping and loading


@st.cache_data(ttl=60, max_entries=50, show_spinner="Reading the first rows …")
def _first_look(config: str) -> browsing.Trial:
    return browsing.first_look(DatasetConfig.from_dict(json.loads(config)))


def _settle(ws: Workspace, pid: str, role: str, config: DatasetConfig) -> None:
    """Show what the rows are taken for, let it be corrected, and load them."""
    found = _first_look(json.dumps(config.to_dict()))
    if found.mapping.schema == "auto":
        st.warning("The columns fit no schema that is known, so say which one means what.", icon=":material/schema:")
    columns, look = st.columns([2, 3], gap="large")
    with columns:
        mapping = _mapping(found, f"{role}-{config.path}-{config.format}")
    config = dataclasses.replace(config, mapping=mapping)
    with look, ui.guard():
        _preview(_first_look(json.dumps(config.to_dict())))
    with columns:
        name = st.text_input("Name", Path(config.path).name, key=ui.key(f"name-{role}-{config.path}"))
        if st.button("Load all rows", type="primary", icon=":material/download:", key=ui.key(f"load-{role}")):
            _load(ws, pid, role, config, name)


def _mapping(found: browsing.Trial, form: str) -> Mapping:
    """Let the mapping that was found be corrected; return it."""
    guess = found.mapping
    schema = st.selectbox(
        "Rows are written as",
        list(SCHEMAS),
        index=list(SCHEMAS).index(guess.schema) if guess.schema in SCHEMAS else 0,
        format_func=SCHEMAS.get,
        key=ui.key(f"schema-{form}"),
        help="Found by the column names; correct it if the first rows look wrong.",
    )
    values: dict[str, Any] = {"schema": schema}
    values |= _columns(TEXT_COLUMNS[schema], found, form)
    with st.expander("Source, group, licence, id", expanded=any(getattr(guess, n) for n in SIDE_COLUMNS)):
        values |= _columns(SIDE_COLUMNS, found, form)
        st.caption("Columns that mean none of these are kept with each row.")
    return Mapping.from_dict(values)


def _columns(names: tuple[str, ...], found: browsing.Trial, form: str) -> dict[str, str]:
    helps = {f.name: f.metadata["help"] for f in dataclasses.fields(Mapping)}
    options = ["", *found.columns]
    chosen = {}
    for n, column in zip(names, st.columns(2) * len(names), strict=False):
        guess = getattr(found.mapping, n)
        chosen[n] = column.selectbox(
            n.capitalize(),
            options,
            index=options.index(guess) if guess in options else 0,
            format_func=lambda c: c or "none",
            help=helps[n],
            key=ui.key(f"column-{n}-{form}"),
        )
    return chosen


def _preview(trial: browsing.Trial) -> None:
    """Show the first rows as they will be read."""
    if not trial.rows:
        st.info("Say on the left which column holds what; the first rows then show here.", icon=":material/help:")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("**As it will be read**")
        n = st.pagination(len(trial.rows), key=ui.key("preview-row")) if len(trial.rows) > 1 else 1
    row = trial.rows[min(n, len(trial.rows)) - 1]
    if isinstance(row, str):
        st.warning(f"This row would be rejected: {ui.plain(row)}.", icon=":material/block:")
    else:
        ui.conversation(row, height=380)


def _load(ws: Workspace, pid: str, role: str, config: DatasetConfig, name: str) -> None:
    if config.hub or Path(config.path).stat().st_size > SMALL:
        job = {"data": config.to_dict(), "role": role, "name": name}
        tasks.start(ws, pid, "load", job, f"Load {name}")
    else:
        with st.spinner(f"Reading and checking {ui.plain(name)} …"):
            pipeline.load(ws, config, role, project_id=pid, name=name)
    st.session_state["_just_loaded"] = True
    st.rerun()
