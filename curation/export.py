"""A selection as files: the subset, why each row is in it, and all that is needed to make it again.

``subset.jsonl`` and ``subset.parquet`` hold the rows with rank, similarity, reason, override and note; ``run.json`` the
config that `winnow run` replays to the same bytes; ``overrides.jsonl`` the log of decisions with authors and times;
``manifest.json`` the hashes of inputs and outputs, versions, seeds and licences. Nothing here is read from the clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation import __version__, comparison, overrides
from curation.comparison import Saved
from curation.config import ModelConfig, RunConfig
from curation.data.rows import Example
from curation.database import storage_errors
from curation.errors import ModelError, WorkspaceError
from curation.views import View
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from curation.tables import OverrideEntry

_VERSIONED = ("torch", "transformers", "peft", "trl", "numpy", "scikit-learn", "sentence-transformers")


@dataclass(frozen=True, eq=False)
class Bundle:
    """What an export is made of: the pool's key, the picks (`pipeline.subset_table`), the config, the decisions."""

    pool: str
    subset: pd.DataFrame
    config: RunConfig
    log: Sequence[OverrideEntry] = ()


def bundle(ws: Workspace, project_id: str, chosen: View | Saved) -> Bundle:
    """Return what a project's present or saved selection exports to."""
    saved = comparison.as_saved(ws, chosen) if isinstance(chosen, View) else chosen
    config = RunConfig.from_dict(comparison.run_config(ws, project_id, saved))
    return Bundle(saved.represented.record["pool"], saved.table, config, ws.override_log(project_id))


def write(ws: Workspace, bundle: Bundle, folder: Path) -> Path:
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
        for name, data in contents(ws, bundle).items():
            part = folder / f"{name}.part"
            part.write_bytes(data)
            part.replace(folder / name)
    return folder


def archive(ws: Workspace, bundle: Bundle) -> bytes:
    """Return the same files as one zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in contents(ws, bundle).items():
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def overrides_jsonl(ws: Workspace, project_id: str) -> str:
    """Return a project's whole log of decisions as JSON lines, which `workbench.import_overrides` reads."""
    return overrides.to_jsonl(ws.override_log(project_id))


def contents(ws: Workspace, bundle: Bundle) -> dict[str, bytes]:
    """Return the files of an export: name → bytes; the same bundle gives the same bytes."""
    examples = ws.rows(bundle.pool, list(bundle.subset["id"]))
    records = [_record(e, p) for e, p in zip(examples, bundle.subset.to_dict("records"), strict=True)]
    files = {
        "subset.jsonl": "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode(),
        "subset.parquet": _parquet(records),
        "run.json": _json(bundle.config.to_dict()),
    }
    files["manifest.json"] = _json(_manifest(bundle, examples, files))
    if bundle.log:
        files["overrides.jsonl"] = overrides.to_jsonl(bundle.log).encode()
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


def _manifest(bundle: Bundle, examples: list[Example], files: dict[str, bytes]) -> dict[str, Any]:
    config = bundle.config
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
