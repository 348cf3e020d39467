"""Memory of a process and its children, and its peak."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil

from curation import memory


def test_a_child_is_counted_where_asked() -> None:
    alone = memory.resident()
    assert alone == psutil.Process().memory_info().rss
    code = "x = bytes(range(256)) * 2**18; print(len(x), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        assert memory.resident(children=True) > memory.resident() + 60 * 2**20
        assert memory.resident(child.pid) > 60 * 2**20
    finally:
        child.communicate(b"\n")
    assert memory.resident(child.pid) == 0


def test_the_peak_stays_after_the_memory_is_given_back() -> None:
    with memory.Peak() as peak:
        held = np.ones(2**24)  # 128 MiB
        peak.look()
        del held
    assert peak.host > peak.began + 100 * 2**20


def test_without_a_gpu_none_is_held() -> None:
    assert memory.on_gpu() >= 0
