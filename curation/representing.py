"""From data sets to similarity and map: lengths in tokens, LESS's warmup, features, each kept by its content key.

The part of the pipeline before anything is selected. Features are kept by row and representation, the similarity by
features, pool and query set, neighbours and map (`mapping`) by features and pool: what changes decides what is computed
again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation import mapping
from curation.config import FirstStageConfig, ModelConfig, RepresentationConfig, WarmupConfig
from curation.errors import ConfigError, DataError
from curation.progress import Progress, Silent
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    import numpy.typing as npt

    from curation.cascade import Stage
    from curation.representations import Features, Representation

VERSION = 1


def tokens(ws: Workspace, dataset_key: str, model: ModelConfig) -> np.ndarray:
    """Return every row's length in tokens of the model's chat form, int64 (n_rows,); counted once."""
    from curation.data.chat import Encoder
    from curation.data.rows import RowError
    from curation.models import context_length, fingerprint, load_tokenizer

    longest = context_length(model)
    key = content_key("tokens", dataset=dataset_key, model=fingerprint(model.name, model.revision), n=longest)

    def make(part: Path) -> None:
        encoder = Encoder(load_tokenizer(model), longest)
        counts = []
        for example in ws.iter_examples(dataset_key):
            try:
                counts.append(len(encoder.encode(example).input_ids))
            except RowError:  # such a row has no features either, so it is never picked
                counts.append(longest)
        np.save(part / "tokens.npy", np.asarray(counts, dtype=np.int64))

    return _array(ws.produce("tokens", key, make, {"dataset": dataset_key}) / "tokens.npy")


def _array(path: Path) -> np.ndarray:
    """A stored array, memory-mapped; a pickled one is refused."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


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
    def has_map(self) -> bool:
        """Whether the pool's map is drawn."""
        return self._map.is_file()

    @property
    def pool_xy(self) -> np.ndarray:
        """Map positions of the pool, float32 (n_pool, 2); NaN for rows without features."""
        return _array(self._map)

    @property
    def twins(self) -> np.ndarray | None:
        """Group of near-duplicates of each pool row, int64 (n_pool,); None before the map is drawn."""
        path = self._map.with_name("twins.npy")
        return _array(path) if path.is_file() else None

    @cached_property
    def query_xy(self) -> np.ndarray:
        """Map positions of the queries, float32 (n_queries, 2): where their nearest candidates are."""
        from curation import maps

        kept = np.isfinite(self.pool_xy[:, 0])
        return maps.place(self.similarity[:, kept], self.pool_xy[kept])

    @property
    def _map(self) -> Path:
        key: str = self.record["map"]
        return self.folder.parents[1] / "map" / key / "pool_xy.npy"

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Each pool row's nearest other rows and 1 − cosine to them, (n_pool, k); None before the map is drawn.

        Rows without features have −1 and infinity.
        """
        folder = self.folder.parents[1] / "neighbours" / self.record.get("neighbours", "none")
        return mapping.read_graph(folder) if folder.is_dir() else None

    @property
    def seen(self) -> np.ndarray | None:
        """Positions of the pool rows that were compared, where a first stage left others out; None: all usable ones."""
        path = self.folder / "seen.npy"
        return _array(path) if path.is_file() else None

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
    draw_map: bool = True,
    progress: Progress | None = None,
) -> Represented:
    """Compute features of the pool and the queries, their similarity and, unless told not to, the pool's map.

    Features are kept by row and representation, so that only rows never seen before cost anything; the map is the
    pool's, whatever the queries, and rows that joined a pool are placed on the map that it had.

    Raises
    ------
    ConfigError
        If the representation needs a base model and none is given.
    DataError
        If a query has no features: a selection that ignores a query would mislead.
    """
    from curation import cascade, representations, similarity

    progress = progress or Silent()
    method = representations.REGISTRY.load(config.name)
    options = options_of(config, model)
    if method.needs_warmup and model is not None:
        options["warmup"] = str(make_warmup(ws, pool, model, warmup or WarmupConfig(), progress))
    representation = representations.create(config.name, **options)
    representation.prepare(ws.examples(queries))
    features_key = key_of_features(representation)
    key, drawn = keys_of(ws, features_key, pool, queries, config.first_stage)
    found = ws.find("representation", key)
    if found is not None and (not draw_map or ws.find("map", drawn.map)):
        return read_represented(found)
    stage = _first_stage(ws, pool, queries, config.first_stage, model, progress) if config.first_stage else None
    pool_features, query_features, unusable = _features(
        ws, representation, features_key, pool, queries, None if stage is None else stage.rows, progress
    )
    there = set(pool_features.ids)
    kept = np.array([i in there for i in ws.ids(pool)])

    def make(part: Path) -> None:
        values = similarity.compute(query_features, pool_features)
        values = mapping.spread(values, kept, axis=1, fill=float(values.min()))
        np.save(part / "similarity.npy", values)
        report = representation.report()
        if stage is not None:
            np.save(part / "seen.npy", np.flatnonzero(kept))
            report["first_stage"] = {
                "name": config.first_stage.name if config.first_stage else "",
                "n_kept": len(stage.kept),
                "n_audited": len(stage.audit),
                "n_pool": stage.n_pool,
                "recall": cascade.recall(values.max(axis=0), stage),
            }
        record = {
            "representation": config.to_dict(),
            "model": model.to_dict() if model and method.needs_base_model else None,
            "warmup": (warmup or WarmupConfig()).to_dict() if method.needs_warmup else None,
            "features": features_key,
            "map": drawn.map,
            "map_base": drawn.base,
            "neighbours": drawn.graph,
            "pool": pool,
            "queries": queries,
            "unusable": unusable,
            "report": report,
        }
        (part / "record.json").write_text(json.dumps(record, ensure_ascii=False, sort_keys=True, indent=1))

    if draw_map:
        about = {
            "pool": pool,
            "name": config.name,
            "features": features_key,
            "thinned": _thinned(config.first_stage, queries),
        }
        compare = representation.rows_compare
        mapping.draw(ws, drawn, about, pool_features, pool=pool, compare=compare, progress=progress)
    card = {"pool": pool, "queries": queries, "name": config.name}
    return read_represented(ws.produce("representation", key, make, card))


def options_of(config: RepresentationConfig, model: ModelConfig | None) -> dict[str, Any]:
    """Return a representation's options with the base model's in them, where it needs one; the warmup is not in them.

    Raises
    ------
    ConfigError
        If it needs a base model and none is given.
    """
    from curation import representations

    options = dict(config.options)
    if representations.REGISTRY.load(config.name).needs_base_model:
        return with_model(options, model, f"the representation {config.name!r}")
    return options


def with_model(options: dict[str, Any], model: ModelConfig | None, what: str) -> dict[str, Any]:
    """Return the options of `what` with the base model's beside them; ConfigError if there is none."""
    if model is None:
        raise ConfigError(f"{what} needs a base model; give a folder or a hub id")
    names = ("model", "revision", "dtype", "device", "max_length", "trust_remote_code")
    return {name: getattr(model, "name" if name == "model" else name) for name in names} | options


def key_of_features(representation: Representation) -> str:
    """Return the key of a representation's feature stores; asked after `prepare`."""
    kept_as = {} if representation.storage == "float16" else {"storage": representation.storage}
    return content_key("features", **representation.key(), **kept_as)


def keys_of(
    ws: Workspace, features: str, pool: str, queries: str, first_stage: FirstStageConfig | None
) -> tuple[str, mapping.Keys]:
    """Return the key of the representation that is made of these features, and those of its neighbours and map."""
    from curation import similarity

    thinned = _thinned(first_stage, queries)
    versions = [VERSION, similarity.VERSION]
    key = content_key("representation", features=features, pool=pool, queries=queries, versions=versions, **thinned)
    drawn = mapping.Keys.of(ws, features, pool, thinned)
    if found := ws.find("representation", key):  # its record says which map it is looked at on
        record = read_represented(found).record
        drawn = mapping.Keys(record.get("neighbours", drawn.graph), record["map"], record.get("map_base", ""))
    return key, drawn


def _thinned(first_stage: FirstStageConfig | None, queries: str) -> dict[str, Any]:
    """What says which rows a first stage left out."""
    return {"first_stage": [first_stage.to_dict(), queries]} if first_stage else {}


def _first_stage(
    ws: Workspace, pool: str, queries: str, config: FirstStageConfig, model: ModelConfig | None, progress: Progress
) -> Stage:
    """Let the cheap representation choose the rows that go on."""
    from curation import cascade

    cheap = represent(
        ws, pool, queries, RepresentationConfig(name=config.name), model=model, draw_map=False, progress=progress
    )
    usable = np.flatnonzero([i not in cheap.unusable for i in ws.ids(pool)])
    return cascade.choose(np.asarray(cheap.similarity), usable, config)


def _features(
    ws: Workspace,
    representation: Representation,
    key: str,
    pool: str,
    queries: str,
    rows: npt.NDArray[np.int64] | None,
    progress: Progress,
) -> tuple[Features, Features, dict[str, str]]:
    """Features of the usable pool rows and of all queries, ready to be compared; id → reason of unusable rows.

    `rows` are the positions of those pool rows that are asked for; all of them where it is None.
    """
    stores = {role: ws.feature_store(key, role) for role in ("query", "pool")}
    query_ids, pool_ids = ws.ids(queries), ws.ids(pool)
    stores["query"].fill(representation, ws.examples(queries), progress)
    if missing := stores["query"].rejected(query_ids):
        name, reason = missing[0]
        raise DataError(f"query {name} can't be represented: {reason}; mend or remove it and start again")
    examples = ws.examples(pool)
    if rows is not None:
        pool_ids, examples = [pool_ids[i] for i in rows], [examples[i] for i in rows]
    stores["pool"].fill(representation, examples, progress)
    unusable = dict(stores["pool"].rejected(pool_ids))
    usable = [i for i in pool_ids if i not in unusable]
    if not usable:
        raise DataError(f"no pool row can be represented: {next(iter(unusable.values()))}; raise the longest length")
    joined = representation.join(stores["pool"].features(usable), stores["query"].features(query_ids))
    return *joined, unusable


def read_represented(folder: Path) -> Represented:
    """Return the representation stored in an artefact's folder."""
    return Represented(folder.name, folder, json.loads((folder / "record.json").read_text()))


def make_warmup(ws: Workspace, pool: str, model: ModelConfig, config: WarmupConfig, progress: Progress) -> Path:
    """Train LESS's warmup on a random sample of the pool, once; return the artefact's folder."""
    from curation import training

    def make(part: Path) -> None:
        training.warmup(model, ws.examples(pool), config, part, progress=progress)

    return ws.produce("warmup", key_of_warmup(pool, model, config), make, config.to_dict(), resumable=True)


def key_of_warmup(pool: str, model: ModelConfig, config: WarmupConfig) -> str:
    """Return the key of a model's warmup on a pool, whether it is trained already or not."""
    from curation import training
    from curation.models import fingerprint

    return content_key(
        "warmup",
        version=training.VERSION,
        pool=pool,
        weights=fingerprint(model.name, model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        config=config.to_dict(),
    )
