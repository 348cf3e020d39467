"""Unbalanced optimal transport (TIS, arXiv 2602.14696): rank candidates by the mass that the queries send them.

Entropic transport of cost (1 − S)/2 between the queries, whose uniform mass all leaves, and the pool, whose uniform
marginal holds only as far as a KL term of small weight asks (Chizat et al., arXiv 1607.05816, which POT's
`sinkhorn_unbalanced` follows). Each round reads the kernel once, block by block, for the columns and the rows together;
the loose marginal makes a round shrink the error a hundredfold. Each query's kernel is taken relative to its nearest
candidate, which the hard marginal cancels, so that float32 suffices for any scale of similarity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import by_columns, ranked

_ROUNDS = 1000
_CLOSE = 1e-5  # largest relative change of a query's scaling in a round after which the next one settles the ranking
_FAINT = np.float32(1e-30)  # sums below it are taken again by their logarithms


class UOT(Selector):
    """Let every query send out equal mass at the least cost; rank candidates by what they receive."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """How far the mass spreads."""

        epsilon: float = option(
            0.01, "How widely each query spreads its mass: smaller keeps to its nearest examples.", low=1e-4, high=10.0
        )
        pool_weight: float = option(
            1e-4, "How strongly the mass is evened out over the pool: larger brings more variety.", low=1e-8, high=100.0
        )

    config: Config
    reason = "much sought by the queries together"
    ranking = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by falling mass; ties go to the lower index."""
        similarity = problem.similarity
        fi = self.config.pool_weight / (self.config.pool_weight + self.config.epsilon)
        sharpness = np.float32(0.5 / self.config.epsilon)
        top = similarity.max(axis=1)  # (n_queries,)
        kernel = np.empty_like(similarity)
        asked = np.empty(problem.n_pool, dtype=np.float32)  # Σ_q u_q K_qx
        u: npt.NDArray[np.float32] = np.ones(problem.n_queries, dtype=np.float32)
        sent: dict[int, npt.NDArray[np.float64]] = {}  # Σ_x K_qx v_x of a block

        def begin(block: slice) -> None:
            part = np.subtract(similarity[:, block], top[:, None], out=kernel[:, block])
            part *= sharpness
            sent[block.start] = np.exp(part, out=part).sum(axis=1, dtype=np.float64)

        def advance(block: slice) -> None:
            part = kernel[:, block]
            got = np.einsum("q,qx->x", u, part, out=asked[block])
            sent[block.start] = part @ np.maximum(got, np.finfo(np.float32).tiny) ** np.float32(-fi)

        by_columns(similarity, begin)
        for _ in range(_ROUNDS):
            rows = np.sum([sent[start] for start in sorted(sent)], axis=0, dtype=np.float64)  # in the same order always
            before, u = u, np.asarray(1 / (problem.n_queries * rows), dtype=np.float32)
            by_columns(similarity, advance)
            if settled := bool(np.abs(before / u - 1).max() < _CLOSE):
                break
        faint = np.flatnonzero(asked < _FAINT)
        with np.errstate(divide="ignore"):
            log: npt.NDArray[np.float32] = np.log(asked)
        for some in np.array_split(faint, len(faint) // 4096 + 1):
            exponents = (similarity[:, some] - top[:, None]) * np.float64(sharpness) + np.log(u)[:, None]
            log[some] = np.logaddexp.reduce(exponents, axis=0)
        order = ranked(log)
        mass = np.exp((1 - fi) * log[order].astype(np.float64))  # v_x asked_x, and v_x is asked_x to the power −fi
        notes = () if settled else ("The transport did not settle; raise epsilon or take another selector.",)
        yield Picks.of(order, -1, mass, *notes)
