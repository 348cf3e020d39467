"""A calibration on a clock that the work itself sets: what it foretells must be what the work then takes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curation import calibration
from curation.calibration import TERMS, calibrate, mean_terms
from curation.config import Options
from curation.data.rows import Example, Message, RowError
from curation.errors import DataError
from curation.progress import Silent
from curation.representations import Representation

LOADING, SHARD, BATCH, ROW, TOKEN, SQUARE = 3.0, 0.5, 0.02, 0.004, 3e-4, 4e-7


class Clock:
    """Time that passes only where work is done."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Priced(Representation):
    """Takes the time that its terms say; a word is a token."""

    name = "priced"
    batch_tokens = 1_000
    slow = 1.0

    def __init__(self, clock: Clock) -> None:
        super().__init__(Options())
        self.clock, self.loaded, self.computed = clock, False, 0
        self.lengths: dict[str, int] = {}

    def key(self) -> dict[str, Any]:
        return {}

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        n = self.lengths.setdefault(example.id, len(example.answer.split()))  # as encodings are kept
        if n > 600:
            raise RowError("too long")
        return n

    def compute_batches(self, batches: Any, role: str, progress: Any) -> Any:
        self.clock.now += SHARD * self.slow + (0.0 if self.loaded else LOADING)
        self.loaded = True
        return super().compute_batches(batches, role, progress)

    def compute(self, examples: Sequence[Example], role: str) -> Any:
        lengths = [self.length(example, role) for example in examples]
        n, longest = len(lengths), max(lengths)
        self.clock.now += self.slow * (BATCH + ROW * n + TOKEN * n * longest + SQUARE * n * longest**2)
        self.computed += n
        return np.full((n, 1, 8), 8**-0.5, dtype=np.float32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(calibration, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def rows(lengths: Sequence[int]) -> list[Example]:
    return [
        Example(f"r{i} of {n}", (Message("user", "q"), Message("assistant", "w " * int(n))))
        for i, n in enumerate(lengths)
    ]


def taken(representation: Priced, examples: list[Example]) -> float:
    """Seconds that the whole takes, once the model is loaded."""
    began, plan = representation.clock.now, representation.plan(examples, "pool")
    for number in range(len(plan.shards)):
        representation.compute_shard(examples, plan, number, Silent())
    return representation.clock.now - began


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_foretold_is_what_it_takes(clock: Clock, seed: int) -> None:
    examples = rows(np.random.default_rng(seed).lognormal(4.5, 0.8, 1500).clip(3, 600))
    representation = Priced(clock)
    rates = calibrate(representation, examples, seconds=20.0)
    assert rates.start == pytest.approx(LOADING + SHARD, rel=0.2)
    assert 10.0 < rates.seconds < 25.0
    assert representation.computed < len(examples) / 2
    assert rates.price(1500) == pytest.approx(taken(representation, examples), rel=0.03)
    assert rates.spread < 0.1


def test_other_rows_are_priced_by_their_own_terms(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    representation = Priced(clock)
    rates = calibrate(representation, rows(rng.integers(3, 600, 800)))
    short = rows(rng.integers(3, 60, 800))
    foretold = rates.price(800, mean_terms(representation, short, "pool"))
    assert foretold == pytest.approx(taken(representation, short), rel=0.1)
    assert foretold < rates.price(800) / 3
    assert rates.price(1600) == pytest.approx(2 * rates.price(800))


@pytest.mark.parametrize("seed", range(4))
def test_rows_shorter_than_all_that_were_tried_are_priced_too(clock: Clock, seed: int) -> None:
    class Disturbed(Priced):
        """Takes some percent longer than its terms say, now more and now less."""

        noise = np.random.default_rng(seed)

        def compute_batches(self, batches: Any, role: str, progress: Any) -> Any:
            self.slow = 1.0 + 0.05 * abs(self.noise.standard_normal())
            return super().compute_batches(batches, role, progress)

    representation, rng = Disturbed(clock), np.random.default_rng(seed)
    rates = calibrate(representation, rows(rng.integers(300, 600, 800)))
    short = rows(rng.integers(3, 60, 800))
    foretold = rates.price(800, mean_terms(representation, short, "pool"))
    assert foretold == pytest.approx(taken(Priced(clock), short), rel=0.3)


def test_a_row_that_takes_more_than_the_time_allowed_is_tried_alone(clock: Clock) -> None:
    representation = Priced(clock)
    representation.slow = 1_000.0
    rates = calibrate(representation, rows([10, 100, 200]), seconds=20.0)
    assert (
        rates.trials == 1 and representation.computed == 4
    )  # the shortest loads the model, is weighed, and opens the shard
    assert rates.price(3) > 0 and rates.spread >= 0.3


def test_no_more_rows_are_tried_than_the_time_left_allows(clock: Clock) -> None:
    representation = Priced(clock)
    representation.slow = 20.0
    rates = calibrate(representation, rows(np.linspace(10, 600, 400)), seconds=60.0)
    assert rates.trials > 1 and rates.seconds < 90.0


def test_a_feature_is_weighed_as_it_is_stored(clock: Clock) -> None:
    rates = calibrate(Priced(clock), rows(range(3, 100)))
    assert (rates.width, rates.row_bytes) == (8, 16.0)  # float16


def test_sparse_features_are_weighed_by_more_than_one_row() -> None:
    from curation import representations

    words = [f"w{i} " * (1 + i % 7) + " ".join(f"x{i}y{j}" for j in range(20)) for i in range(50)]
    examples = [Example(f"r{i}", (Message("user", "q"), Message("assistant", w))) for i, w in enumerate(words)]
    rates = calibrate(representations.create("lexical"), examples, seconds=1.0)
    assert rates.width == 0 and 300 < rates.row_bytes < 2_000


def test_memory_is_scaled_up_to_a_longest_batch_that_was_not_tried(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peak:
        host, gpu = 1_100, 40

        def __enter__(self) -> Peak:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(calibration, "Peak", Peak)
    monkeypatch.setattr(calibration, "resident", lambda: 1_000)
    monkeypatch.setattr(calibration, "on_gpu", lambda: 30)
    seen = calibrate(Priced(clock), rows([50] * 100))
    assert (seen.memory, seen.gpu_memory) == (1_100, 40)
    slow = Priced(clock)
    slow.slow = 1_000.0
    unseen = calibrate(slow, rows([100] * 100))  # one row of 100 was tried, batches hold ten
    assert (unseen.memory, unseen.gpu_memory) == (2_000, 130)


def test_rows_that_can_not_be_represented_are_told(clock: Clock) -> None:
    with pytest.raises(DataError, match=r"none of 2 rows can be represented \(first: too long\); choose other rows"):
        calibrate(Priced(clock), rows([700, 800]))


def test_few_trials_tell_few_terms_apart() -> None:
    terms = np.array([[100.0, 1, 90, 5, 2_000, 1], [200.0, 1, 190, 5, 8_000, 1], [400.0, 2, 300, 9, 20_000, 1]])
    coefficients, _ = calibration._fit(terms, terms[:, 0] / 10)
    assert coefficients[0] == pytest.approx(0.1) and not coefficients[1:].any()
    assert len(coefficients) == len(TERMS)
