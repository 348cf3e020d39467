"""Embeddings equal sentence-transformers' own; longer texts are averages of what fits."""

from __future__ import annotations

import numpy as np
import pytest

from curation import embedders, representations
from curation.data.rows import Example, Message
from curation.representations.embed import Embed


def rows(texts: list[str]) -> list[Example]:
    return [Example(f"row{i}", (Message("user", t), Message("assistant", "Yes."))) for i, t in enumerate(texts)]


@pytest.fixture(scope="module")
def embed() -> Embed:
    made = representations.create("embed", device="cpu")
    assert isinstance(made, Embed)
    return made


def test_equals_direct_encoding(embed: Embed) -> None:
    examples = rows(["Two plus two?", "A much longer question about the weather in Spain.", "Привет"])
    got = embed.compute(examples, "pool")
    assert got.shape == (3, 1, 384)
    direct = embedders.load("all-MiniLM-L6-v2", where="cpu").encode(
        [f"user: {e.messages[0].content}\nassistant: Yes." for e in examples], normalize_embeddings=True
    )
    np.testing.assert_allclose(got[:, 0], direct, atol=1e-6)


def test_query_prompt_goes_before_queries_only() -> None:
    with_prompt = representations.create("embed", device="cpu", query_prompt="Represent: ")
    plain = representations.create("embed", device="cpu")
    one = rows(["Two plus two?"])
    np.testing.assert_allclose(with_prompt.compute(one, "pool"), plain.compute(one, "pool"), atol=1e-7)
    direct = plain._model.encode(["Represent: " + one[0].text], normalize_embeddings=True)
    np.testing.assert_allclose(with_prompt.compute(one, "query")[:, 0], direct, atol=1e-6)
    assert with_prompt.key() != plain.key()


def test_long_text_is_the_mean_of_chunks_that_fit() -> None:
    embed = representations.create("embed", device="cpu")
    assert isinstance(embed, Embed)
    text = "user: " + " ".join(f"word{i} unbelievable" for i in range(300)) + "\nassistant: Yes."
    chunks = list(embed._chunks(text, ""))
    assert "".join(chunks) == text
    sizes = [len(embed._model.tokenizer(chunk)["input_ids"]) for chunk in chunks]
    assert max(sizes) <= embed._model.max_seq_length
    example = Example("a", (Message("user", text[6 : text.index("\n")]), Message("assistant", "Yes.")))
    mean = embed._model.encode(chunks, normalize_embeddings=True).mean(axis=0)
    np.testing.assert_allclose(embed.compute([example], "pool")[0, 0], mean / np.linalg.norm(mean), atol=1e-6)
    embed.compute(rows(["short"] * 3), "pool")
    assert embed.report() == {"max_tokens": 256, "chunked_share": {"pool": 0.25}}


def test_one_endless_word_is_cut() -> None:
    embed = representations.create("embed", device="cpu")
    assert isinstance(embed, Embed)
    assert "".join(embed._chunks("日" * 1000, "")) == "日" * 1000
    assert np.isfinite(embed.compute(rows(["x" * 5000, ""]), "pool")).all()


def test_rows_are_batched_by_tokens_whatever_the_order_and_the_bound() -> None:
    embed = representations.create("embed", device="cpu", query_prompt="Represent this: ")
    assert isinstance(embed, Embed)
    one = rows(["naïve"])[0]
    tokens = len(embed._model.tokenizer("user: naïve\nassistant: Yes.").input_ids)
    assert embed.length(one, "pool") == tokens
    assert embed.length(one, "query") == tokens + 3
    examples = rows(["word " * n for n in (3, 700, 40, 1, 300, 90)])
    for size, expected in (
        (1024, ((1,), (4, 5, 2), (0, 3))),
        (64, ((1,), (4,), (5,), (2,), (0, 3))),
    ):
        small = representations.create("embed", device="cpu", tokens_per_batch=size)
        (batches,) = small.plan(examples, "pool").shards
        assert batches == expected
        for batch in batches:
            got = small.compute([examples[i] for i in batch], "pool")
            alone = np.concatenate([embed.compute([examples[i]], "pool") for i in batch])
            np.testing.assert_allclose(got, alone, atol=1e-6)
    assert small.key() == representations.create("embed", device="cpu").key()
