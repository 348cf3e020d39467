"""A first stage keeps what ranks best for any query; the recall that its audit tells is that of the whole pool."""

from __future__ import annotations

import numpy as np
import pytest

from curation import cascade
from curation.config import FirstStageConfig, RepresentationConfig
from curation.errors import ConfigError


def config(**options: object) -> FirstStageConfig:
    return FirstStageConfig.from_dict(options)


def test_keeps_the_best_ranks_of_every_query_whatever_its_scale() -> None:
    similarity = np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0.2]], dtype=np.float32)
    stage = cascade.choose(similarity, np.arange(10), config(keep=0.4, audit=3))
    assert stage.kept.tolist() == [0, 1, 8, 9]
    assert len(stage.audit) == 3
    assert set(stage.audit.tolist()) <= {2, 3, 4, 5, 6, 7}
    assert stage.rows.tolist() == sorted([*stage.kept, *stage.audit])


def test_rows_without_features_are_neither_kept_nor_audited() -> None:
    similarity = np.arange(10, dtype=np.float32)[None]
    stage = cascade.choose(similarity, np.array([0, 1, 2, 3]), config(keep=0.5, audit=100))
    assert (stage.kept.tolist(), stage.audit.tolist(), stage.n_pool) == ([2, 3], [0, 1], 4)


def test_audit_is_the_same_each_time_and_another_by_seed() -> None:
    similarity = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32)
    one, two, other = (cascade.choose(similarity, np.arange(200), config(audit=20, seed=s)) for s in (0, 0, 1))
    assert one.audit.tolist() == two.audit.tolist() != other.audit.tolist()
    assert one.kept.tolist() == other.kept.tolist()


def test_recall_is_exact_where_all_is_audited() -> None:
    stage = cascade.Stage(np.arange(50), np.arange(50, 100), 100)
    scores = np.zeros(100)
    scores[[0, 1, 2, 60]] = [4, 3, 2, 5]
    assert cascade.recall(scores, stage, tops=(4,)) == [{"k": 4, "recall": 0.75, "low": 0.75, "high": 0.75}]


def test_recall_is_told_for_no_more_rows_than_go_on() -> None:
    stage = cascade.Stage(np.arange(5), np.arange(5, 10), 10)
    assert cascade.recall(np.arange(10.0), stage, tops=(5, 100)) == []


def test_recall_from_a_sample_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        dear = rng.standard_normal(2000)
        cheap = dear + rng.standard_normal(2000)
        stage = cascade.choose(cheap[None].astype(np.float32), np.arange(2000), config(keep=0.2, audit=200))
        truth = np.isin(np.argsort(-dear)[:100], stage.kept).mean()
        (told,) = cascade.recall(dear, stage, tops=(100,))
        assert told["low"] <= told["recall"] <= told["high"]
        held += told["low"] <= truth <= told["high"]
    assert held >= 180


def test_nothing_is_left_out_when_all_go_on() -> None:
    stage = cascade.choose(np.arange(300, dtype=np.float32)[None], np.arange(300), config(keep=1.0))
    assert len(stage.audit) == 0
    assert cascade.recall(np.arange(300.0), stage) == [{"k": 100, "recall": 1.0, "low": 1.0, "high": 1.0}]


def test_a_first_stage_must_be_another_representation() -> None:
    with pytest.raises(ConfigError, match="the first stage is 'lexical' as well, expected a cheaper representation"):
        RepresentationConfig.from_dict({"name": "lexical", "first_stage": {"name": "lexical"}})
