"""TF-IDF of word 1–2-grams, unit length: the baseline without a model that a stronger one must beat.

Stored are the counts, a row's own matter; the inverse document frequencies come from the pool at hand and are put on
when pool and queries meet (`join`), so that a pool may grow without recomputing. Terms are columns by a 62-bit hash of
their own text, so no vocabulary has to be kept between shards. Equal to scikit-learn's `TfidfVectorizer` fitted on the
pool (smooth idf, terms that the pool lacks dropped).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.data.rows import Example
from curation.representations.base import Features, Representation

N_COLUMNS = 2**62
TOKEN_PATTERN = r"(?u)\b\w+\b"  # scikit-learn's own drops one-character words, and with them every digit


class Lexical(Representation):
    """Count words and word pairs, weighted by rarity (TF-IDF); needs no model."""

    name = "lexical"

    def key(self) -> dict[str, Any]:
        """Only the version: there are no options."""
        return {"name": self.name, "version": self.VERSION}

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        """Characters: any one stands for any other here, there is no padding."""
        return len(example.text)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        """Return term counts, CSR float32 (rows, 2⁶²)."""
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=TOKEN_PATTERN)
        try:
            counts = vectorizer.fit_transform([text(example) for example in examples])
        except ValueError:  # scikit-learn's word for: no row has a word
            return csr_matrix((len(examples), N_COLUMNS), dtype=np.float32)
        terms = vectorizer.get_feature_names_out()
        columns = np.array([_column(term) for term in terms], dtype=np.int64)
        result = csr_matrix(
            (counts.data.astype(np.float32), columns[counts.indices], counts.indptr.astype(np.int64)),
            shape=(len(examples), N_COLUMNS),
        )
        result.sort_indices()
        return result

    def join(self, pool: Features, query: Features) -> tuple[Features, Features]:
        """Return TF-IDF features of unit length over the pool's vocabulary."""
        vocabulary, place = np.unique(pool.values.indices, return_inverse=True)
        n_pool = len(pool.ids)
        frequency = np.bincount(place, minlength=len(vocabulary))  # rows that hold the term, (n_terms,)
        idf = np.log((1 + n_pool) / (1 + frequency)) + 1  # smooth, as scikit-learn's
        return _weighted(pool, vocabulary, idf), _weighted(query, vocabulary, idf)


def text(example: Example) -> str:
    """The words of the conversation, without role tags: those are in every row."""
    return "\n".join(m.content for m in example.messages)


def _column(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 2


def _weighted(features: Features, vocabulary: npt.NDArray[np.int64], idf: npt.NDArray[np.float64]) -> Features:
    """Move counts to the vocabulary's columns, drop terms outside it, weight by idf, and scale rows to unit length."""
    from scipy.sparse import csr_matrix

    counts = features.values
    place = np.searchsorted(vocabulary, counts.indices)
    known = place < len(vocabulary)
    known[known] = vocabulary[place[known]] == counts.indices[known]
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[known]
    values = counts.data[known] * idf[place[known]]
    norm = np.sqrt(np.bincount(row, weights=values**2, minlength=counts.shape[0]))
    values = (values / norm[row]).astype(np.float32)
    shape = (counts.shape[0], max(1, len(vocabulary)))
    return Features(csr_matrix((values, (row, place[known])), shape=shape), features.weights, features.ids)
