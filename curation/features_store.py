"""Features on disk, by row id: computed once for each row and representation, whatever pool the row stands in.

A store is the folder ``features/<representation key>-<role>``. Each call of `fill` that meets rows never seen before
fixes a plan for them (``plan-0000/plan.json``) before the first shard, and every later call uses that plan for what
it finds unfinished; so a stopped run goes on to the same bytes, and appended rows cost only themselves. A shard is
`.npy` files (dense: float16; sparse: the three arrays of CSR) and a record with their checksums, written last: a shard
without its record does not exist, one whose checksum is wrong is computed again. Left out: dropping rows that no data
set holds any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from curation.database import storage_errors
from curation.errors import WorkspaceError
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.representations.base import Features, Plan, Representation

MEMORY_BYTES = 2**31  # what is gathered beyond this lies in a memory-mapped file
_Shard = tuple[int, int]  # (plan, shard)


class FeatureStore:
    """The features of one representation and role.

    Parameters
    ----------
    folder : Path
        Where they lie; made by the first `fill`.
    role : str
        ``"pool"`` or ``"query"``.
    """

    def __init__(self, folder: Path, role: str) -> None:
        self.folder = folder
        self.role = role
        self._checked: set[_Shard] = set()  # shards whose checksums this instance has seen to be right
        self._load()

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those of `ids` that have neither features nor a reason why not, in order."""
        return [i for i in ids if i not in self._place and i not in self._rejected]

    def rejected(self, ids: Iterable[str]) -> list[tuple[str, str]]:
        """Return id and reason of those of `ids` that the representation can't express, in order."""
        return [(i, self._rejected[i]) for i in ids if i in self._rejected]

    def fill(
        self, representation: Representation, examples: Sequence[Example], progress: Progress | None = None
    ) -> None:
        """Compute what is missing for `examples`: shards left unfinished or found damaged first, then new rows.

        Raises
        ------
        WorkspaceError
            If the disk is full; the shards finished so far stay.
        ModelError
            If a feature is not finite.
        """
        progress = progress or Silent()
        with storage_errors(self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "store.lock"):  # two processes that need the same rows take turns
                _write(
                    self.folder / "store.json",
                    {"role": self.role, "weights": np.asarray(representation.weights, dtype=np.float64).tolist()},
                )
                self._load()
                self._drop_damaged({example.id for example in examples}, progress)
                self._finish(representation, examples, progress)
                new = [e for e in examples if e.id not in self._place and e.id not in self._rejected]
                if new:
                    progress.log(f"{len(examples) - len(new)} of {len(examples)} {self.role} rows are stored already")
                    plan = representation.plan(new, self.role)
                    number = len(self._plans)
                    text = plan.to_json([example.id for example in new])
                    _write(self._folder_of(number) / "plan.json", json.loads(text))
                    representation.stream(new, plan, _Writer(self, number, range(len(plan.shards))), progress)
                self._load()

    def features(self, ids: Sequence[str]) -> Features:
        """Return the features of `ids`, in that order; memory-mapped where they are large.

        Raises
        ------
        WorkspaceError
            If a row has none, or a shard is damaged.
        """
        from curation.representations.base import Features

        if lacking := [i for i in ids if i not in self._place]:
            raise WorkspaceError(
                f"{len(lacking)} rows, {lacking[0]} first, have no features in {self.folder.name}; compute the "
                "representation for this data set first"
            )
        weights = np.asarray(json.loads((self.folder / "store.json").read_text())["weights"], dtype=np.float32)
        parts: dict[_Shard, tuple[list[int], list[int]]] = {}
        for position, row_id in enumerate(ids):
            plan, shard, row = self._place[row_id]
            positions, rows = parts.setdefault((plan, shard), ([], []))
            positions.append(position)
            rows.append(row)
        for shard_key in parts:
            if not self._is_whole(shard_key):
                raise WorkspaceError(
                    f"shard {shard_key[1]} of {self.folder.name}/{self._folder_of(shard_key[0]).name} is damaged; "
                    "compute the representation again: only that shard is computed anew"
                )
        if not parts:
            return Features(np.zeros((0, len(weights), 0), dtype=np.float16), weights, ())
        sparse = "columns" in self._record(next(iter(parts)))
        values = self._gather_sparse(parts) if sparse else self._gather_dense(parts, len(ids))
        return Features(values, weights, tuple(ids))

    def _gather_dense(
        self, parts: dict[_Shard, tuple[list[int], list[int]]], n: int
    ) -> npt.NDArray[np.float16]:  # (n, C, d)
        out: npt.NDArray[np.float16] | None = None
        for shard, (positions, rows) in parts.items():
            values = np.load(self._path(shard, "values.npy"), mmap_mode="r", allow_pickle=False)
            if out is None:
                out = _room((n, *values.shape[1:]), values.dtype, self.folder)
            out[positions] = values[rows]
        assert out is not None
        return out

    def _gather_sparse(self, parts: dict[_Shard, tuple[list[int], list[int]]]) -> Any:  # CSR (n, d)
        from scipy.sparse import csr_matrix, vstack

        blocks, order = [], []
        for shard, (positions, rows) in parts.items():
            arrays = [np.load(self._path(shard, f"{name}.npy"), allow_pickle=False) for name in _CSR]
            shape = (len(arrays[2]) - 1, self._record(shard)["columns"])
            blocks.append(csr_matrix(tuple(arrays), shape=shape)[rows])
            order += positions
        return vstack(blocks, format="csr")[np.argsort(order)]

    # What is there

    def _load(self) -> None:
        """Read the plans and the records of finished shards."""
        self._plans: list[list[list[str]]] = []  # plan → shard → ids
        self._batches: list[Any] = []
        self._rejected: dict[str, str] = {}
        self._place: dict[str, tuple[int, int, int]] = {}  # id → plan, shard, row
        self._finished: set[_Shard] = set()
        for number, path in enumerate(sorted(self.folder.glob("plan-*/plan.json"))):
            data = json.loads(path.read_text("utf-8"))
            self._batches.append(data["shards"])
            self._plans.append([[i for batch in shard for i in batch] for shard in data["shards"]])
            self._rejected.update(data["rejected"])
            for shard, ids in enumerate(self._plans[-1]):
                if self._path((number, shard), "json").is_file():
                    self._finished.add((number, shard))
                    self._place.update({row_id: (number, shard, row) for row, row_id in enumerate(ids)})

    def _drop_damaged(self, wanted: set[str], progress: Progress) -> None:
        """Forget finished shards of wanted rows whose files are not what was written."""
        damaged = False
        for plan, shard in sorted(self._finished):
            if wanted.isdisjoint(self._plans[plan][shard]) or self._is_whole((plan, shard)):
                continue
            damaged = True
            progress.log(f"shard {shard} of {self._folder_of(plan)} is damaged and is computed again")
            self._path((plan, shard), "json").unlink()
        if damaged:
            self._load()

    def _finish(self, representation: Representation, examples: Sequence[Example], progress: Progress) -> None:
        """Compute the shards that older plans still lack, where they serve and their rows are all at hand."""
        from curation.representations.base import Plan

        position = {example.id: i for i, example in enumerate(examples)}
        for number, shards in enumerate(self._plans):
            open_shards = [
                shard
                for shard, ids in enumerate(shards)
                if (number, shard) not in self._finished
                and all(i in position for i in ids)
                and any(i not in self._place for i in ids)
            ]
            if open_shards:
                batches = self._batches[number]
                plan: Plan = Plan(
                    self.role,
                    tuple(tuple(tuple(position[i] for i in b) for b in batches[shard]) for shard in open_shards),
                )
                representation.stream(examples, plan, _Writer(self, number, open_shards), progress)
        self._load()

    def _folder_of(self, plan: int) -> Path:
        return self.folder / f"plan-{plan:04d}"

    def _path(self, shard: _Shard, name: str) -> Path:
        return self._folder_of(shard[0]) / f"shard-{shard[1]:05d}.{name}"

    def _record(self, shard: _Shard) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._path(shard, "json").read_text("utf-8"))
        return record

    def _is_whole(self, shard: _Shard) -> bool:
        if shard not in self._checked:
            try:
                for name, digest in self._record(shard)["files"].items():
                    with self._path(shard, name).open("rb") as file:
                        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                            return False
            except (FileNotFoundError, ValueError, KeyError):
                return False
            self._checked.add(shard)
        return True


_CSR = ("data", "indices", "indptr")


class _Writer:
    """`Sink` of one plan; `shards` names the plan's shards that are streamed, in order."""

    def __init__(self, store: FeatureStore, plan: int, shards: Sequence[int]) -> None:
        self._store, self._plan, self._shards = store, plan, shards

    def has(self, shard: int) -> bool:
        """Whether the shard is stored whole."""
        return self._store._path((self._plan, self._shards[shard]), "json").is_file()

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        """Store a shard: its arrays, then the record that makes it count."""
        place = (self._plan, self._shards[shard])
        assert values.shape[0] == len(ids)
        record: dict[str, Any] = {"files": {}}
        if isinstance(values, np.ndarray):
            arrays = {"values": _half(values, ids)}
        else:
            arrays = {name: getattr(values, name) for name in _CSR}
            record["columns"] = int(values.shape[1])
        for name, array in arrays.items():
            path = self._store._path(place, f"{name}.npy")
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            with part.open("rb") as file:
                record["files"][f"{name}.npy"] = hashlib.file_digest(file, "sha256").hexdigest()
            part.rename(path)
        _write(self._store._path(place, "json"), record)


def _half(values: npt.NDArray[np.floating[Any]], ids: Sequence[str]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    finite = np.isfinite(half).reshape(len(ids), -1).all(axis=1)
    if not finite.all():
        raise WorkspaceError(
            f"the feature of row {ids[int(finite.argmin())]} has numbers beyond 65504, which can't be stored as "
            "float16; features are of unit length, so mend the representation"
        )
    return half


def _room(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path) -> npt.NDArray[Any]:
    """Return an array to fill; a large one lies in a file that vanishes with it."""
    if int(np.prod(shape)) * dtype.itemsize <= MEMORY_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON beside and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
