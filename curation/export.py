"""A selection as files: the subset, why each row is in it, and all that is needed to make it again.

``subset.jsonl`` and ``subset.parquet`` hold the rows with rank, similarity, reason, override and note; ``run.json`` the
config that `winnow run` replays to the same bytes; ``overrides.jsonl`` the log of decisions with authors and times;
``manifest.json`` the hashes of inputs and outputs, versions, seeds and licences; ``README.md`` the selection card as
the hub's data set card. A folder or zip has the card in HTML and plain Markdown too. Nothing here is read from the
clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curation import __version__, overrides, report
from curation.config import ModelConfig
from curation.data.rows import Example
from curation.database import storage_errors
from curation.errors import ModelError, WorkspaceError
from curation.report import Records
from curation.workspace import Workspace

CARD = "selection-card"
_VERSIONED = ("torch", "transformers", "peft", "trl", "numpy", "scikit-learn", "sentence-transformers")


def write(ws: Workspace, records: Records, folder: Path) -> Path:
    """Write an export into `folder`, made if it is not there, and return it; other files in it are left alone.

    Raises
    ------
    WorkspaceError
        If `folder` is a file, or can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file, expected a folder to export into; choose another path")
    with storage_errors(folder.parent if not folder.exists() else folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in _files(ws, records).items():
            part = folder / f"{name}.part"
            part.write_bytes(data)
            part.replace(folder / name)
    return folder


def archive(ws: Workspace, records: Records) -> bytes:
    """Return the same files as one zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in _files(ws, records).items():
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def overrides_jsonl(ws: Workspace, project_id: str) -> str:
    """Return a project's whole log of decisions as JSON lines, which `workbench.import_overrides` reads."""
    return overrides.to_jsonl(ws.override_log(project_id))


def _files(ws: Workspace, records: Records) -> dict[str, bytes]:
    """Return all files for people's own machines: a data set's, and the card."""
    card = {f"{CARD}.html": report.html(records).encode(), f"{CARD}.md": report.markdown(records).encode()}
    return contents(ws, records) | card


def contents(ws: Workspace, records: Records) -> dict[str, bytes]:
    """Return the files of a data set: name → bytes; the same records give the same bytes."""
    examples = ws.rows(records.pool, list(records.subset["id"]))
    rows = [_record(e, p) for e, p in zip(examples, records.subset.to_dict("records"), strict=True)]
    files = {
        "subset.jsonl": "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode(),
        "subset.parquet": _parquet(rows),
        "run.json": _json(records.config.to_dict()),
    }
    files["manifest.json"] = _json(_manifest(records, examples, files))
    files["README.md"] = report.dataset_card(records).encode()
    if records.log:
        files["overrides.jsonl"] = overrides.to_jsonl(records.log).encode()
    return files


def _record(example: Example, pick: dict[Any, Any]) -> dict[str, Any]:
    """One row in the common chat form, its origin, and why it is in."""
    messages = []
    for m in example.messages:
        message: dict[str, Any] = {"role": m.role, "content": m.content}
        if m.tool_calls:
            message["tool_calls"] = json.loads(m.tool_calls)
        if m.role == "assistant" and not m.train:
            message["train"] = False
        messages.append(message)
    origin = {"group": example.group, "source": example.source, "licence": example.licence, "user_id": example.user_id}
    why = {k: pick[k] for k in ("rank", "similarity", "query_id", "reason", "override", "note")}
    return {"id": example.id, "messages": messages, **origin, "extra": json.loads(example.extra), "winnow": why}


def _parquet(records: list[dict[str, Any]]) -> bytes:
    """The records as Parquet: messages as a list of structs, what has no fixed form as JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def message(m: dict[str, Any]) -> dict[str, Any]:
        calls = json.dumps(m["tool_calls"], ensure_ascii=False) if "tool_calls" in m else None
        return {"role": m["role"], "content": m["content"], "tool_calls": calls, "train": m.get("train", True)}

    text = pa.string()
    turn = pa.struct([("role", text), ("content", text), ("tool_calls", text), ("train", pa.bool_())])
    names = ("group", "source", "licence", "user_id")
    schema = pa.schema(
        [
            *(("id", text), ("messages", pa.list_(turn)), *((n, text) for n in names), ("extra", text)),
            *(("rank", pa.int64()), ("similarity", pa.float64()), ("query_id", text)),
            *(("reason", text), ("override", text), ("note", text)),
        ]
    )
    rows = [
        {
            **r["winnow"],
            **{n: r[n] for n in ("id", *names)},
            "messages": [message(m) for m in r["messages"]],
            "extra": json.dumps(r["extra"], ensure_ascii=False),
        }
        for r in records
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _manifest(records: Records, examples: list[Example], files: dict[str, bytes]) -> dict[str, Any]:
    config = records.config
    inputs = {
        name: {"path": data.path, "sha256": data.sha256, "revision": data.revision}
        for name, data in (("pool", config.pool), ("queries", config.queries), ("tests", config.tests))
        if data is not None
    }
    model = config.model
    return {
        "inputs": inputs,
        "model": {"name": model.name, "sha256": _weights(model)} if model else None,
        "seeds": {
            "selection": config.selection.seed,
            "warmup": config.warmup.seed,
            "experiment": list(config.experiment.seeds) if config.experiment else [],
        },
        "n_examples": len(examples),
        "sources": dict(sorted(Counter(e.source or "unknown" for e in examples).items())),
        "licences": dict(sorted(Counter(e.licence or "not stated" for e in examples).items())),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "versions": {"winnow": __version__, "python": platform.python_version()}
        | {name: version(name) for name in _VERSIONED},
    }


def _weights(model: ModelConfig) -> str | None:
    """Hash of the base model's files; None if it is not on this machine: that must not keep a subset from its owner."""
    from curation.models import fingerprint

    try:
        return fingerprint(model.name, model.revision)
    except ModelError:
        return None


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
