"""Memory that work takes: resident memory of a process and its children, and what torch holds on the GPU.

Pages that processes share are counted in each of them, so the sum of a tree is an upper bound.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Self

import psutil

_EVERY = 0.02  # seconds between two looks of a `Peak`


def resident(pid: int | None = None, *, children: bool = False) -> int:
    """Return the resident memory of a process (default: this one) in bytes; 0 if it is gone.

    Parameters
    ----------
    pid : int, optional
        Process.
    children : bool
        Add that of all its descendants.
    """
    total = 0
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(pid or os.getpid())
        total = int(process.memory_info().rss)
        for child in process.children(recursive=True) if children else ():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += int(child.memory_info().rss)
    return total


def on_gpu() -> int:
    """Return the bytes that torch holds on the GPU in this process; 0 without one, or before torch has touched it."""
    torch = sys.modules.get("torch")  # never loaded for this
    cuda = getattr(torch, "cuda", None)
    return int(cuda.memory_reserved()) if cuda is not None and cuda.is_available() and cuda.is_initialized() else 0


def free() -> int:
    """Return the bytes of main memory that work in this process may come to take."""
    return int(psutil.virtual_memory().available) + resident()


def free_on_gpu() -> int:
    """Return the bytes that work in this process may come to take on the GPU, where there is one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) + on_gpu()


class Peak:
    """Watches, while it is open, the most memory that this process takes; looks fifty times a second.

    Attributes
    ----------
    began, host, gpu : int
        Bytes: resident at the start, most resident, and most that torch held on the GPU.
    """

    def __init__(self) -> None:
        self.began = self.host = resident()
        self.gpu = on_gpu()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="memory")

    def look(self) -> None:
        """Take what is held now into account."""
        self.host, self.gpu = max(self.host, resident()), max(self.gpu, on_gpu())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.look()
