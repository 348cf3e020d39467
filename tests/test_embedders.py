"""The packaged embedder is taken only with the published weights."""

from __future__ import annotations

import pytest

from curation import embedders, models
from curation.errors import ModelError


def test_packaged_minilm_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.file_hash(embedders.locate("all-MiniLM-L6-v2") / "model.safetensors") == embedders.MINILM_SHA256
    monkeypatch.setattr(embedders, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="expected 000000000000…; reinstall"):
        embedders.locate("sentence-transformers/all-MiniLM-L6-v2")
