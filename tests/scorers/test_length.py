"""Length counts the characters that are learned, and no others."""

from __future__ import annotations

from curation import scorers
from curation.data.rows import Example, Message


def test_counts_learned_answers_only() -> None:
    turns = (
        Message("system", "Be kind."),
        Message("user", "Hello"),
        Message("assistant", "not this", train=False),
        Message("user", "And?"),
        Message("assistant", "four"),
        Message("user", "More"),
        Message("assistant", "日本"),
    )
    assert scorers.create("length").score([Example("a", turns)]).tolist() == [6.0]
