"""Shards of a representation on several devices of one machine: a process a device, each taking the next shard.

The plan is fixed before, and a shard is computed whole by one process, so the features are those of one device. Only
this process writes. Left out: several machines.
"""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError, ModelError
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from curation.data.rows import Example
    from curation.representations import Plan, Representation, Sink

POLL_SECONDS = 1.0


def devices(representation: Representation) -> list[str]:
    """Return the devices among which a representation's shards are shared out: all GPUs, where it runs on one."""
    if representation.device != "cuda":
        return [representation.device]
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def stream(
    representation: Representation,
    examples: Sequence[Example],
    plan: Plan,
    sink: Sink,
    progress: Progress | None = None,
    *,
    on: Sequence[str] | None = None,
) -> None:
    """Compute the plan's shards that the sink does not have, on as many devices as there are.

    Parameters
    ----------
    representation, examples, plan, sink, progress
        As for `Representation.stream`.
    on : sequence of str, optional
        Devices, one process each; by default `devices`. A single one is this process's own.

    Raises
    ------
    CurationError
        What a process raised; ModelError if one ended without a word, as for lack of memory.
    """
    on = devices(representation) if on is None else on
    missing = [number for number in range(len(plan.shards)) if not sink.has(number)]
    if len(on) < 2 or len(missing) < 2:
        representation.stream(examples, plan, sink, progress)
        return
    progress = progress or Silent()
    progress.start(f"{representation.name}: {plan.role}", sum(len(plan.rows(number)) for number in missing))
    context = multiprocessing.get_context("spawn")  # a forked process could not use CUDA
    wanted: Queue[int | None] = context.Queue()
    told: Queue[tuple[str, Any]] = context.Queue()
    for number in missing:
        wanted.put(number)
    workers = []
    for device in on[: len(missing)]:
        wanted.put(None)
        arguments = (representation, list(examples), plan, device, wanted, told)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
    try:
        for worker in workers:
            worker.start()
        for _ in missing:
            number, values = _next_shard(workers, told, progress)
            sink.write(number, [examples[i].id for i in plan.rows(number)], values)
    finally:
        for worker in workers:
            worker.kill()


def _next_shard(workers: Sequence[Any], told: Queue[tuple[str, Any]], progress: Progress) -> tuple[int, Any]:
    """Return number and features of the shard that is finished next, passing on what is told in the meantime."""
    while True:
        try:
            kind, what = told.get(timeout=POLL_SECONDS)
        except queue.Empty:
            progress.advance(0)  # lets a cancel through
            if dead := [w.exitcode for w in workers if w.exitcode not in (None, 0)]:
                raise ModelError(
                    f"a process that computed features ended without a word (exit code {dead[0]}); most often memory "
                    "ran out, so use fewer devices or a smaller tokens_per_batch"
                ) from None
            continue
        if kind == "shard":
            return what  # type: ignore[no-any-return]
        if kind == "error":
            raise what
        if kind == "log":
            progress.log(what)
        else:
            progress.advance(what)


class _Teller:
    """Progress of a worker, told to the process that started it."""

    def __init__(self, told: Queue[tuple[str, Any]]) -> None:
        self._told = told

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Ignore: the stage is that of all workers."""

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
        """Tell."""
        self._told.put(("advance", n))

    def log(self, message: str) -> None:
        """Tell."""
        self._told.put(("log", message))


def _work(
    representation: Representation,
    examples: Sequence[Example],
    plan: Plan,
    device: str,
    wanted: Queue[int | None],
    told: Queue[tuple[str, Any]],
) -> None:
    """Compute shards until none is wanted."""
    import torch

    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        while (number := wanted.get()) is not None:
            told.put(("shard", (number, representation.compute_shard(examples, plan, number, _Teller(told)))))
    except CurationError as error:
        told.put(("error", error))
