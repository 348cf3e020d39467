"""Stages composed into the loop: load → represent → select → tune → judge, each kept by its content key.

What `winnow`, the jobs and the pages call. Every function takes the workspace and a config, makes what is not there
yet, and returns a small record of what is. The same config gives the same keys, so nothing is computed twice and an
interrupted call goes on where it stopped. Fine-tuning and judging of arms is in `experiments`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.config import DatasetConfig, ModelConfig, RepresentationConfig, RunConfig, SelectionConfig, WarmupConfig
from curation.errors import ConfigError, DataError, SelectionError
from curation.progress import Progress, Silent
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.validation import Report
    from curation.selectors import Problem, Subset

VERSION = 1
MAP_VERSION = 1


# ------------------------------------------------------------------------------------------------------------ data


def load(
    ws: Workspace,
    config: DatasetConfig,
    role: str,
    *,
    project_id: str | None = None,
    name: str = "",
    progress: Progress | None = None,
) -> str:
    """Read, map and validate a data set into the workspace; return its key.

    The same bytes with the same mapping are read once. With `project_id` the data set becomes the project's active
    one in `role` ("pool", "query" or "test").

    Raises
    ------
    DataError
        If the file can't be read, its hash is not the one asked for, or no row is usable.
    """
    from curation.data import validation

    digest = source_hash(config)
    if config.sha256 and digest != config.sha256:
        raise DataError(
            f"{config.path} has SHA-256 {digest[:12]}…, the config expects {config.sha256[:12]}…; "
            "give the file that the config was made with, or empty its sha256"
        )
    settings = {k: v for k, v in config.to_dict().items() if k not in ("path", "sha256")}
    key = content_key("dataset", source=digest, settings=settings, version=validation.VERSION)

    def make(part: Path) -> None:
        report = validation.load(config, part, progress or Silent(), role=role)
        (part / "report.json").write_text(json.dumps(report.to_dict(), ensure_ascii=False))

    ws.produce("dataset", key, make, config.to_dict())
    if project_id is not None:
        pinned = dataclasses.replace(config, sha256=digest)
        report, title = report_of(ws, key), name or Path(config.path).name
        ws.add_dataset(project_id, role, title, key, report.accepted, report.rejected, pinned.to_dict())
    return key


def source_hash(config: DatasetConfig) -> str:
    """SHA-256 of a file's bytes; for a hub data set, of its id, subset, split and resolved revision."""
    from curation.data import readers

    if config.hub:
        revision = readers.hub_revision(config)
        return hashlib.sha256(json.dumps([config.path, config.subset, config.split, revision]).encode()).hexdigest()
    return readers.file_sha256(Path(config.path))


def report_of(ws: Workspace, dataset_key: str) -> Report:
    """Return what was read, accepted and rejected when the data set was loaded."""
    from curation.data.validation import Report

    folder = ws.artefact("dataset", dataset_key)
    return Report.from_dict(json.loads((folder / "report.json").read_text()))


def tokens(ws: Workspace, dataset_key: str, model: ModelConfig) -> np.ndarray:
    """Return every row's length in tokens of the model's chat form, int64 (n_rows,); counted once."""
    from curation.data.chat import Encoder
    from curation.data.rows import RowError
    from curation.models import fingerprint, load_tokenizer

    key = content_key("tokens", dataset=dataset_key, model=fingerprint(model.name, model.revision), n=model.max_length)

    def make(part: Path) -> None:
        encoder = Encoder(load_tokenizer(model), model.max_length)
        counts = []
        for example in ws.iter_examples(dataset_key):
            try:
                counts.append(len(encoder.encode(example).input_ids))
            except RowError:  # such a row has no features either, so it is never picked
                counts.append(model.max_length)
        np.save(part / "tokens.npy", np.asarray(counts, dtype=np.int64))

    return _array(ws.produce("tokens", key, make, {"dataset": dataset_key}) / "tokens.npy")


def _array(path: Path) -> np.ndarray:
    """A stored array, memory-mapped; a pickled one is refused."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


# -------------------------------------------------------------------------------------------------- representation


@dataclass(frozen=True)
class Represented:
    """A pool and a query set seen through one representation: similarity and map, as they lie in the workspace."""

    key: str
    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the representation."""
        return str(self.record["representation"]["name"])

    @property
    def similarity(self) -> np.ndarray:
        """Similarity, float32 (n_queries, n_pool), memory-mapped; rows without features have the lowest value."""
        return _array(self.folder / "similarity.npy")

    @property
    def pool_xy(self) -> np.ndarray:
        """Map positions of the pool, float32 (n_pool, 2)."""
        return _array(self.folder / "pool_xy.npy")

    @property
    def query_xy(self) -> np.ndarray:
        """Map positions of the queries, float32 (n_queries, 2)."""
        return _array(self.folder / "query_xy.npy")

    @property
    def unusable(self) -> dict[str, str]:
        """Id → reason of pool rows that have no features and so can't be picked."""
        return dict(self.record["unusable"])


def represent(
    ws: Workspace,
    pool: str,
    queries: str,
    config: RepresentationConfig,
    *,
    model: ModelConfig | None = None,
    warmup: WarmupConfig | None = None,
    progress: Progress | None = None,
) -> Represented:
    """Compute features of the pool and the queries, their similarity and the map; return them.

    Features are kept by row and representation, so that only rows never seen before cost anything.

    Raises
    ------
    ConfigError
        If the representation needs a base model and none is given.
    DataError
        If a query has no features: a selection that ignores a query would mislead.
    """
    from curation import maps, representations, similarity

    progress = progress or Silent()
    options = dict(config.options)
    method = representations.REGISTRY.load(config.name)
    if method.needs_base_model:
        if model is None:
            raise ConfigError(f"the representation {config.name!r} needs a base model; give a folder or a hub id")
        for name in ("model", "revision", "dtype", "device", "max_length", "trust_remote_code"):
            options.setdefault(name, getattr(model, "name" if name == "model" else name))
    if method.needs_warmup and model is not None:
        options["warmup"] = str(make_warmup(ws, pool, model, warmup or WarmupConfig(), progress) / "model")
    representation = representations.create(config.name, **options)
    features_key = content_key("features", **representation.key())
    key = content_key(
        "representation",
        features=features_key,
        pool=pool,
        queries=queries,
        versions=[VERSION, maps.VERSION, similarity.VERSION],
    )
    if (found := ws.find("representation", key)) is not None:
        return read_represented(found)
    stores = {}
    for role, dataset in (("query", queries), ("pool", pool)):
        stores[role] = ws.feature_store(features_key, role)
        stores[role].fill(representation, ws.examples(dataset), progress)
    unusable = dict(stores["pool"].rejected(ws.ids(pool)))
    if missing := stores["query"].rejected(ws.ids(queries)):
        name, reason = missing[0]
        raise DataError(f"query {name} can't be represented: {reason}; mend or remove it and start again")
    usable = [i for i in ws.ids(pool) if i not in unusable]
    if not usable:
        raise DataError(f"no pool row can be represented: {next(iter(unusable.values()))}; raise the longest length")
    pool_features, query_features = representation.join(
        stores["pool"].features(usable), stores["query"].features(ws.ids(queries))
    )
    values = similarity.compute(query_features, pool_features)
    progress.log(f"drawing the map of {len(usable)} examples")
    pool_xy = maps.fit(pool_features, seed=0, progress=progress)
    query_xy = maps.place(values, pool_xy)
    record = {
        "representation": config.to_dict(),
        "model": model.to_dict() if model and method.needs_base_model else None,
        "warmup": (warmup or WarmupConfig()).to_dict() if method.needs_warmup else None,
        "features": features_key,
        "pool": pool,
        "queries": queries,
        "unusable": unusable,
        "report": representation.report(),
    }
    with ws.build("representation", key, {"pool": pool, "queries": queries, "name": config.name}) as part:
        kept = np.array([i not in unusable for i in ws.ids(pool)])
        np.save(part / "similarity.npy", _spread(values, kept, axis=1, fill=float(values.min())))
        np.save(part / "pool_xy.npy", _spread(pool_xy, kept, axis=0, fill=np.nan))
        np.save(part / "query_xy.npy", query_xy)
        (part / "record.json").write_text(json.dumps(record, ensure_ascii=False, sort_keys=True, indent=1))
    return read_represented(ws.artefact("representation", key))


def _spread(values: np.ndarray, kept: np.ndarray, axis: int, fill: float) -> np.ndarray:
    """Put columns (or rows) back where rows without features were left out."""
    if kept.all():
        return values
    shape = list(values.shape)
    shape[axis] = kept.size
    whole = np.full(shape, fill, dtype=values.dtype)
    whole[(slice(None),) * axis + (kept,)] = values
    return whole


def read_represented(folder: Path) -> Represented:
    """Return the representation stored in an artefact's folder."""
    return Represented(folder.name, folder, json.loads((folder / "record.json").read_text()))


def make_warmup(ws: Workspace, pool: str, model: ModelConfig, config: WarmupConfig, progress: Progress) -> Path:
    """Train LESS's warmup on a random sample of the pool, once; return the artefact's folder."""
    from curation import training
    from curation.models import fingerprint

    key = content_key(
        "warmup",
        version=training.VERSION,
        pool=pool,
        weights=fingerprint(model.name, model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        config=config.to_dict(),
    )

    def make(part: Path) -> None:
        training.warmup(model, ws.examples(pool), config, part, progress=progress)

    return ws.produce("warmup", key, make, config.to_dict(), resumable=True)


# ------------------------------------------------------------------------------------------------------- selection


def problem(ws: Workspace, represented: Represented, config: SelectionConfig) -> Problem:
    """Return the selector's input: similarity, query groups, sources and, for a token budget, costs."""
    from curation.selectors import Problem

    sources = ws.column(represented.record["pool"], "source")
    groups = ws.column(represented.record["queries"], "group")
    costs = None
    if config.budget.tokens is not None:
        model = represented.record["model"]
        if model is None:
            raise ConfigError(
                f"a budget in tokens needs a model's tokenizer, and {represented.name!r} uses none; "
                "give the budget in examples or choose another representation"
            )
        costs = tokens(ws, represented.record["pool"], ModelConfig.from_dict(model))
    return Problem(represented.similarity, query_groups=groups, sources=sources, costs=costs)


def select(ws: Workspace, represented: Represented, config: SelectionConfig) -> Subset:
    """Pick a subset; rows without features are never picked, pins and bans that the pool lacks are an error.

    Raises
    ------
    SelectionError
        If a pinned row is unknown or has no features, or the budget can't be met.
    """
    from curation import selectors
    from curation.selectors import Budget, Overrides

    position = {i: n for n, i in enumerate(ws.ids(represented.record["pool"]))}
    for name in (*config.pinned, *config.banned):
        if name not in position:
            raise SelectionError(f"row {name} is pinned or banned but not in this pool; clear it or load its pool")
    unusable = represented.unusable
    for name in config.pinned:
        if name in unusable:
            raise SelectionError(f"row {name} is pinned but can't be used: {unusable[name]}; unpin it")
    overrides = Overrides(
        pinned=tuple(position[i] for i in config.pinned),
        banned=tuple(sorted({position[i] for i in (*config.banned, *unusable)})),
    )
    budget = Budget(examples=config.budget.examples, tokens=config.budget.tokens)
    selector = selectors.create(config.selector, **config.options)
    return selector.select(problem(ws, represented, config), budget, overrides, seed=config.seed)


def subset_table(ws: Workspace, represented: Represented, config: SelectionConfig, subset: Subset) -> pd.DataFrame:
    """Return one line a pick in order: rank, id, similarity, query, reason, override, note."""
    import pandas as pd

    ids, query_ids = ws.ids(represented.record["pool"]), ws.ids(represented.record["queries"])
    picked = np.asarray(subset.indices)
    best = np.asarray(represented.similarity[:, picked])  # (n_queries, n_picked)
    nearest = best.argmax(axis=0) if picked.size else np.zeros(0, dtype=np.int64)
    by = np.where(subset.query >= 0, subset.query, nearest)
    pinned = set(config.pinned)
    names = [ids[i] for i in picked]
    return pd.DataFrame(
        {
            "rank": np.arange(1, picked.size + 1),
            "id": names,
            "similarity": best[by, np.arange(picked.size)].astype(np.float64),
            "query_id": [query_ids[q] for q in by],
            "reason": list(subset.reasons),
            "override": ["pinned" if n in pinned else "" for n in names],
            "note": [str(config.notes.get(n, "")) for n in names],
        }
    )


# ------------------------------------------------------------------------------------------------------- whole runs


def run(
    ws: Workspace, config: RunConfig, progress: Progress | None = None, *, project_id: str | None = None
) -> dict[str, Any]:
    """Do everything that `config` asks for, reusing what is there.

    Returns
    -------
    dict
        ``pool``, ``queries``, ``tests`` (data set keys), ``representation`` (key), ``subset`` (table of picks as
        records), ``experiment`` (key or None), ``result`` (the experiment's result or None).
    """
    from curation.experiments import experiment

    progress = progress or Silent()
    pool = load(ws, config.pool, "pool", project_id=project_id, progress=progress)
    queries = load(ws, config.queries, "query", project_id=project_id, progress=progress)
    tests = load(ws, config.tests, "test", project_id=project_id, progress=progress) if config.tests else None
    represented = represent(
        ws, pool, queries, config.representation, model=config.model, warmup=config.warmup, progress=progress
    )
    subset = select(ws, represented, config.selection)
    made: dict[str, Any] = {
        "pool": pool,
        "queries": queries,
        "tests": tests,
        "representation": represented.key,
        "subset": subset_table(ws, represented, config.selection, subset),
        "experiment": None,
        "result": None,
    }
    if config.experiment is not None:
        if config.model is None:
            raise ConfigError("an experiment needs a base model; give `model` or leave `experiment` out")
        inputs = experiment_inputs(ws, represented, tuple(made["subset"]["id"]), config.model, tests)
        made["experiment"], made["result"] = experiment(ws, inputs, config.experiment, progress)
    return made


def settle(config: RunConfig) -> RunConfig:
    """Return the config with the hashes of its files in it, so that a replay on other files is refused."""
    pinned = {
        name: dataclasses.replace(data, sha256=data.sha256 or source_hash(data))
        for name in ("pool", "queries", "tests")
        if (data := getattr(config, name)) is not None
    }
    return dataclasses.replace(config, **pinned)


def experiment_inputs(
    ws: Workspace, represented: Represented, selected: tuple[str, ...], model: ModelConfig, tests: str | None
) -> Any:
    """Return what an experiment on a selection compares on; every arm draws from rows that have features."""
    from curation.experiments import Inputs

    unusable = represented.unusable
    candidates = tuple(i for i in ws.ids(represented.record["pool"]) if i not in unusable)
    return Inputs(model, represented.record["pool"], represented.record["queries"], tests, candidates, selected)
