"""The GPU benchmark runs on a CPU with a tiny shape."""

from __future__ import annotations

import pytest

from curation import models
from tests.benchmarks import gpu


def test_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    load = models.load_causal_lm
    gpu.main(["--shape", "tiny", "--rows", "5", "--rank", "2"])
    head, _, line = [text.strip("| ").split(" | ") for text in capsys.readouterr().out.strip().split("\n")[2:]]
    made = dict(zip(head, line, strict=True))
    assert made["shape"] == "tiny"
    assert float(made["LoRA (M)"]) == pytest.approx(2 * 4 * 2 * 2 * 64 / 1e6, rel=1e-3)
    assert all(float(made[name].replace(",", "")) > 0 for name in ("examples/s", "tokens/s", "TFLOP/s", "share (%)"))
    assert models.load_causal_lm is load
