"""Lexical features give the similarities of scikit-learn's own TF-IDF, sharded or not."""

from __future__ import annotations

import numpy as np
from scipy.sparse import vstack
from sklearn.feature_extraction.text import TfidfVectorizer

from curation import representations, similarity
from curation.data.rows import Example, Message
from curation.representations import Features
from curation.representations.lexical import TOKEN_PATTERN

POOL = ["Add 3 and 5.", "The cat sat; the cat ran.", "Füge 3 hinzu", "add 3 and 7 and 3", "!!!", "日本 の 猫 sat"]
QUERIES = ["add 3 and 3 please", "the cat", "unheard of words", ""]


def rows(texts: list[str]) -> list[Example]:
    return [Example(f"row{i}", (Message("user", t), Message("assistant", "The answer."))) for i, t in enumerate(texts)]


def expected() -> np.ndarray:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKEN_PATTERN)
    pool = vectorizer.fit_transform([f"{t}\nThe answer." for t in POOL])
    return (vectorizer.transform([f"{t}\nThe answer." for t in QUERIES]) @ pool.T).toarray()


def test_equals_tfidf_vectorizer() -> None:
    lexical = representations.create("lexical")
    one = np.ones(1, dtype=np.float32)
    # two shards of the pool have vocabularies of their own; joined they are one
    shards = [lexical.compute(rows(POOL)[:4], "pool"), lexical.compute(rows(POOL)[4:], "pool")]
    pool = Features(vstack(shards, format="csr"), one, tuple(f"row{i}" for i in range(len(POOL))))
    query = Features(lexical.compute(rows(QUERIES), "query"), one, tuple(f"q{i}" for i in range(len(QUERIES))))
    got = similarity.compute(*reversed(lexical.join(pool, query)))
    np.testing.assert_allclose(got, expected(), atol=1e-6)
    assert got[0].argmax() == 3


def test_rows_without_a_word_are_zero_not_nan() -> None:
    lexical = representations.create("lexical")
    silent = [Example("a", (Message("user", "!!!"), Message("assistant", "…")))]
    one = np.ones(1, dtype=np.float32)
    features = Features(lexical.compute(silent, "pool"), one, ("a",))
    pool, query = lexical.join(features, features)
    assert similarity.compute(query, pool).tolist() == [[0.0]]


def test_counts_do_not_depend_on_the_shard() -> None:
    lexical = representations.create("lexical")
    together = lexical.compute(rows(POOL), "pool")
    alone = vstack([lexical.compute([row], "pool") for row in rows(POOL)], format="csr")
    np.testing.assert_array_equal(together.indices, alone.indices)
    np.testing.assert_array_equal(together.data, alone.data)
