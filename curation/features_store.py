"""Features on disk, by row id: computed once for each row and representation, whatever pool the row stands in.

A store is the folder ``features/<representation key>-<role>``. Each call of `fill` that meets rows never seen before
fixes a plan for them (``plan-0000/plan.json``) before the first shard, and every later call uses that plan for what
it finds unfinished; so a stopped run goes on to the same bytes, and appended rows cost only themselves. A shard is
`.npy` files (dense: as `curation.codecs` keeps them; sparse: the three arrays of CSR) and a record with their codec,
their width and their checksums, written last: a shard without its record does not exist, one whose checksum is wrong
is computed again, and so are the rows of a plan that can't be read. Checksums are CRC-32, which guard against damage,
not against malice, and take a tenth of SHA-256's time on the way to a stored pool. Left out: dropping rows that no
data set holds any more.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from curation import codecs, engines
from curation.database import storage_errors
from curation.errors import WorkspaceError
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.representations.base import Features, Plan, Representation

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
        self.storage = "float16"
        self._whole: dict[_Shard, dict[str, Any]] = {}  # records of shards that this instance has seen to be whole
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
            If the disk is full; the shards finished so far stay. If what is stored is kept in another way than the
            representation asks for.
        ModelError
            If a feature is not finite.
        """
        progress = progress or Silent()
        with storage_errors(self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "store.lock"):  # two processes that need the same rows take turns
                self._write_about(representation)
                self._load()
                self._drop_damaged({example.id for example in examples}, progress)
                self._finish(representation, examples, progress)
                new = [e for e in examples if e.id not in self._place and e.id not in self._rejected]
                if new:
                    progress.log(f"{len(examples) - len(new)} of {len(examples)} {self.role} rows are stored already")
                    plan = representation.plan(new, self.role)
                    number = max(self._plans, default=-1) + 1
                    text = plan.to_json([example.id for example in new])
                    _write_text(self._folder_of(number) / "plan.json", text)
                    engines.stream(representation, new, plan, _Writer(self, number, range(len(plan.shards))), progress)
                    self._load()

    def features(self, ids: Sequence[str]) -> Features:
        """Return the features of `ids`, in that order; dense ones stay on disk until they are read.

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
        about = _read_json(self.folder / "store.json", "weights")
        if about is None:
            raise WorkspaceError(f"store.json of {self.folder.name} is damaged; compute the representation again")
        weights = np.asarray(about["weights"], dtype=np.float32)
        places = [self._place[i] for i in ids]
        shards = sorted({(plan, shard) for plan, shard, _ in places})
        for key in shards:
            if not self._is_whole(key):
                raise WorkspaceError(
                    f"shard {key[1]} of {self.folder.name}/{self._folder_of(key[0]).name} is damaged; "
                    "compute the representation again: only that shard is computed anew"
                )
        if not shards:
            return Features(np.zeros((0, len(weights), 0), dtype=np.float16), weights, ())
        number = {key: i for i, key in enumerate(shards)}
        shard = np.array([number[plan, shard] for plan, shard, _ in places])
        row = np.array([row for *_, row in places])
        record = self._whole[shards[0]]
        if record["codec"] == "csr":
            return Features(self._sparse(shards, record["columns"], shard, row), weights, tuple(ids))
        files = [{name[:-4]: self._path(key, name) for name in record["files"]} for key in shards]  # less .npy
        shape = (len(ids), len(weights), record["columns"])
        return Features(codecs.Stored(files, record["codec"], shape, shard, row), weights, tuple(ids))

    def _sparse(
        self, shards: Sequence[_Shard], columns: int, shard: npt.NDArray[np.int64], row: npt.NDArray[np.int64]
    ) -> Any:  # CSR (n, d)
        from scipy.sparse import csr_matrix, vstack

        blocks, order = [], []
        for number, key in enumerate(shards):
            mine = np.flatnonzero(shard == number)
            arrays = [np.load(self._path(key, f"{name}.npy"), allow_pickle=False) for name in _CSR]
            blocks.append(csr_matrix(tuple(arrays), shape=(len(arrays[2]) - 1, columns))[row[mine]])
            order.append(mine)
        return vstack(blocks, format="csr")[np.argsort(np.concatenate(order))]

    # What is there

    def _load(self) -> None:
        """Read the plans and the records of finished shards."""
        self._plans: dict[int, list[list[str]]] = {}  # plan → shard → ids
        self._batches: dict[int, Any] = {}
        self._rejected: dict[str, str] = {}
        self._place: dict[str, tuple[int, int, int]] = {}  # id → plan, shard, row
        self._finished: set[_Shard] = set()
        self._unreadable: list[Path] = []  # folders of plans
        for folder in sorted(self.folder.glob("plan-*")):
            data = _read_json(folder / "plan.json", "shards", "rejected")
            if data is None:
                self._unreadable.append(folder)
                continue
            number = int(folder.name.removeprefix("plan-"))
            self._batches[number] = data["shards"]
            self._plans[number] = [[i for batch in shard for i in batch] for shard in data["shards"]]
            self._rejected.update(data["rejected"])
            for shard, ids in enumerate(self._plans[number]):
                if self._path((number, shard), "json").is_file():
                    self._finished.add((number, shard))
                    self._place.update({row_id: (number, shard, row) for row, row_id in enumerate(ids)})

    def _write_about(self, representation: Representation) -> None:
        """Write what holds for the whole store; another way of keeping features than what is there is refused."""
        self.storage = representation.storage
        if self.role == "query" and self.storage != "float32":
            self.storage = "float16"  # they are few, and one side's rounding is enough
        path = self.folder / "store.json"
        kept = (_read_json(path) or {}).get("storage", self.storage)
        if kept != self.storage:
            raise WorkspaceError(
                f"{self.folder.name} keeps its features as {kept}, the representation {representation.name} asks for "
                f"{self.storage}; its key must name the storage, so that each has a store of its own"
            )
        weights = np.asarray(representation.weights, dtype=np.float64).tolist()
        _write_text(path, json.dumps({"role": self.role, "storage": self.storage, "weights": weights}))

    def _drop_damaged(self, wanted: set[str], progress: Progress) -> None:
        """Forget plans that can't be read, and finished shards of wanted rows that are not what was written."""
        damaged = bool(self._unreadable)
        for folder in self._unreadable:
            if any(folder.glob("shard-*")):  # without any, a run was stopped before its plan was whole
                progress.log(f"{folder.name} is damaged and its rows are computed again")
            shutil.rmtree(folder)
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
        reload = False
        for number, shards in self._plans.items():
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
                engines.stream(representation, examples, plan, _Writer(self, number, open_shards), progress)
                reload = True
        if reload:
            self._load()

    def _folder_of(self, plan: int) -> Path:
        return self.folder / f"plan-{plan:04d}"

    def _path(self, shard: _Shard, name: str) -> Path:
        return self._folder_of(shard[0]) / f"shard-{shard[1]:05d}.{name}"

    def _is_whole(self, shard: _Shard) -> bool:
        if shard not in self._whole:
            record = _read_json(self._path(shard, "json"), "codec", "columns", "files")
            if record is None:
                return False
            for name, expected in record["files"].items():
                if _checksum(self._path(shard, name)) != expected:
                    return False
            self._whole[shard] = record
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
        if isinstance(values, np.ndarray):
            codec, arrays = self._store.storage, codecs.encode(values, self._store.storage)
            _require_finite(arrays["values"], ids)
        else:
            codec, arrays = "csr", {name: getattr(values, name) for name in _CSR}
        files = {}
        for name, array in arrays.items():
            path = self._store._path(place, f"{name}.npy")
            _write(path, partial(_save, array=array))
            files[f"{name}.npy"] = _checksum(path)
        record = {"codec": codec, "columns": int(values.shape[-1]), "files": files}
        _write_text(self._store._path(place, "json"), json.dumps(record))


def _require_finite(stored: npt.NDArray[Any], ids: Sequence[str]) -> None:
    finite = np.isfinite(stored).reshape(len(ids), -1).all(axis=1)
    if not finite.all():
        raise WorkspaceError(
            f"the feature of row {ids[int(finite.argmin())]} has numbers beyond 65504, which can't be stored as "
            "float16; features are of unit length, so mend the representation"
        )


def _checksum(path: Path) -> int | None:
    """CRC-32 of a file; None if it is not there, or empty."""
    try:
        return zlib.crc32(np.memmap(path, mode="r").data)
    except (FileNotFoundError, ValueError):
        return None


def _read_json(path: Path, *needed: str) -> dict[str, Any] | None:
    """Return what the file holds; None if it is not there, or damaged."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) and data.keys() >= set(needed) else None


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, lambda file: file.write(text.encode()))


def _save(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """Write a `.npy` file; numpy's own `save` tells of a full disk without saying that it is full."""
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array.data)


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write a file beside and rename it, so that it is never seen half-written."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)  # of no use, and on a full disk in the way
        raise
    part.rename(path)
