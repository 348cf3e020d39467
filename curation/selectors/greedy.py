"""Greedy set selectors without looking at every candidate for every pick (lazy greedy; Minoux 1978).

What a candidate would add seldom grows as the set does, so what it added when last looked at bounds what it adds now.
Each turn looks again only at candidates whose bound reaches the best found so far; the result is that of looking at
all. What is compared is summed in float64 and rounded to float32, so that equals tie however they were computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt

_FRONT = 32  # candidates that were nearly taken and are looked at first in the next turn
_ROWS = 4096  # vectors brought to float64 at once


class Gains(ABC):
    """What each candidate would add to the set as it stands.

    Attributes
    ----------
    bound : float64 array (n_pool,)
        At least what each candidate adds; −inf for those that can't be taken.
    falls : bool
        Whether what a candidate adds to a set that is not empty never grows with the set.
    """

    falls: ClassVar[bool] = False

    bound: npt.NDArray[np.float64]

    @abstractmethod
    def exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return what each of some candidates adds."""

    @abstractmethod
    def take(self, rows: npt.NDArray[np.int64]) -> None:
        """Put some candidates into the set; bounds that no longer hold are raised."""


def greedy(gains: Gains) -> Iterator[tuple[int, float]]:
    """Yield, again and again, the candidate that adds most and what it adds; the lower one of equals."""
    front = np.zeros(0, dtype=np.int64)
    for _ in range(np.count_nonzero(gains.bound > -np.inf)):
        front = np.append(front, gains.bound.argmax())
        gains.bound[front] = gains.exact(front)
        rows = np.flatnonzero(gains.bound >= gains.bound[front].max())
        values = gains.bound[rows] = gains.exact(rows)
        row, value = int(rows[values.argmax()]), float(values.max())
        yield row, value
        gains.take(np.array([row]))
        gains.bound[row] = -np.inf
        near = rows[np.argsort(-values, kind="stable")[: _FRONT + 1]]
        front = near[near != row]


def dots(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the dot products of some rows of `vectors` with one or more columns, computed in float64."""
    starts = range(0, len(rows), _ROWS)
    return np.concatenate([vectors[rows[i : i + _ROWS]].astype(np.float64) @ others for i in starts])


class Cosines:
    """Each candidate's highest cosine to the set, brought up to date only for those asked about."""

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = vectors
        self._taken = np.zeros((0, vectors.shape[1]))
        self._n_taken = 0
        self._highest = np.full(len(vectors), -1, dtype=np.float32)
        self._known = np.zeros(len(vectors), dtype=np.int32)  # of how many of the set it is the highest

    def take(self, rows: npt.ArrayLike) -> None:
        """Put candidates into the set."""
        vectors = self._vectors[np.atleast_1d(rows)]
        wanted = self._n_taken + len(vectors)
        if wanted > len(self._taken):  # room for twice as many
            self._taken = np.concatenate([self._taken, np.zeros((wanted, self._taken.shape[1]))])
        self._taken[self._n_taken : wanted] = vectors
        self._n_taken = wanted

    def highest(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the highest cosine of some candidates to the set; −1 where it is empty."""
        stale = rows[self._known[rows] < self._n_taken]
        for known in np.unique(self._known[stale]):
            some = stale[self._known[stale] == known]
            cosines = dots(self._vectors, some, self._taken[known : self._n_taken].T).max(axis=1)
            self._highest[some] = np.maximum(self._highest[some], cosines.astype(np.float32))
        self._known[stale] = self._n_taken
        return self._highest[rows]
