"""The process of one job: waits for its turn, runs the task, tells the workspace how it goes.

Started by `curation.jobs` as ``python -m curation.job_runner WORKSPACE JOB``. The task comes from
`curation.tasks.TASKS`, or from the `TASKS` of the module that the environment variable `WINNOW_TASKS` names; it is
imported only when the turn has come, so that a waiting job is small. A job that is no longer its own (cancelled, or
reported dead and resumed as another process) ends itself.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from sqlmodel import Session, col, select, update

from curation import jobs, memory
from curation.database import storage_errors
from curation.errors import CurationError, JobError, WorkspaceError
from curation.processes import end_tree
from curation.tables import Job
from curation.workspace import Workspace

_TICK = 0.5
_BEAT = 2.0
_WINDOW = 30.0
_RESERVE_BYTES = 2**18  # held while the task runs, so that a full disk still has room to tell how it ended


class JobProgress:
    """`Progress` of a job, kept in the workspace by a thread of its own at most twice a second.

    Parameters
    ----------
    ws : Workspace
        Workspace that holds the job.
    job_id : str
        Job.
    attempt : int
        Which attempt this process is; it writes nothing once the job is ended or another attempt has begun.
    """

    def __init__(self, ws: Workspace, job_id: str, attempt: int) -> None:
        self._ws, self._id, self._attempt = ws, job_id, attempt
        self._lock = threading.Lock()
        self._now: dict[str, Any] = {"stage": "", "done": 0, "total": 0, "unit": ""}
        self._readings: dict[str, float | None] = {}
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._changed = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="progress")
        self._metrics = jobs.folder(ws, job_id) / "metrics.jsonl"
        self._memory = jobs.Memory()

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Begin a stage of `total` units."""
        with self._lock:
            self._now = {"stage": stage, "done": 0, "total": total, "unit": unit}
            self._readings = {}
            self._times = deque([(time.monotonic(), 0)])
            self._changed = True
        self.log(f"{stage}: {total} {unit}")

    def advance(self, n: int = 1, **metrics: float) -> None:
        """`n` more units are done; readings go to the job's history."""
        with self._lock:
            self._now["done"] += n
            self._changed = True
            now = time.monotonic()
            self._times.append((now, self._now["done"]))
            while len(self._times) > 2 and now - self._times[0][0] > _WINDOW:
                self._times.popleft()
            if metrics:
                told = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}
                self._readings |= told
                where = {"time": time.time(), "attempt": self._attempt, "stage": self._now["stage"]}
                with self._metrics.open("a", encoding="utf-8") as history:
                    history.write(json.dumps({**where, "done": self._now["done"], **told}) + "\n")

    def log(self, message: str) -> None:
        """Write one line to the job's log."""
        with suppress(OSError):  # on a full disk the work's own error must come through, not this one
            print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)

    def __enter__(self) -> JobProgress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._weigh()

    def _keep(self) -> None:
        written = weighed = 0.0
        while not self._stop.wait(_TICK):
            if time.monotonic() - weighed >= _BEAT:
                self._weigh()
                weighed = time.monotonic()
            if not self._changed and time.monotonic() - written < _BEAT:
                continue
            try:
                mine = self.write()
            except WorkspaceError as error:  # the work may yet end well; the next beat tries again
                self.log(f"progress not stored: {error}")
                continue
            written = time.monotonic()
            if not mine:
                _leave(self._id, self._attempt)

    def _weigh(self) -> None:
        """Keep what memory the job's processes take, in a file beside the log: a killed job still tells its peak."""
        self._memory = self._memory.then(memory.resident(children=True), memory.on_gpu())
        with suppress(OSError):  # a full disk is told by what needs the disk
            self._memory.store(jobs.folder(self._ws, self._id))

    def write(self, **ending: Any) -> bool:
        """Store what is known, and `ending` with it; return False if the job is no longer this attempt's."""
        with self._lock:
            (first, before), (last, done) = self._times[0], self._times[-1]
            rate = (done - before) / (last - first) if last > first else 0.0
            left = self._now["total"] - self._now["done"]
            values = {
                **self._now,
                "rate": rate,
                "eta": left / rate if rate > 0 and left > 0 else None,
                "metrics": json.dumps(self._readings),
                "heartbeat": time.time(),
                **ending,
            }
            self._changed = False
        mine = (col(Job.id) == self._id, col(Job.attempt) == self._attempt, col(Job.state) == "running")
        with self._ws.write() as session:
            return bool(session.exec(update(Job).where(*mine).values(**values)).rowcount)


def run(root: Path, job_id: str) -> int:
    """Wait for the job's turn and do its work; return the exit code (0 when it succeeded)."""
    ws = Workspace(root)
    found = _register(ws, job_id)
    if not _await_turn(ws, job_id, found.attempt):
        return 1
    reserve = jobs.folder(ws, job_id) / "reserve"
    with JobProgress(ws, job_id, found.attempt) as progress:
        progress.log(f"{found.title} begins (attempt {found.attempt}, process {os.getpid()})")
        try:
            with storage_errors(ws.root):
                reserve.write_bytes(os.urandom(_RESERVE_BYTES))
                asked = {**json.loads(found.config), "job": job_id}
                result = json.dumps(_task(found.kind)(ws, asked, progress) or {})
            ending = {"state": "succeeded", "result": result}
        except CurationError as error:
            ending = {"state": "failed", "error": str(error)}
        except BaseException as error:  # also SystemExit and MemoryError: whatever ends the task is told
            progress.log("".join(traceback.format_exception(error)))
            ending = {
                "state": "failed",
                "error": f"the job failed with {type(error).__name__}: {error}; its log tells where",
            }
    reserve.unlink(missing_ok=True)
    progress.log(ending.get("error") or f"{found.title} succeeded")
    progress.write(**ending, ended=time.time(), eta=None)
    return 0 if ending["state"] == "succeeded" else 1


def _task(kind: str) -> Any:
    tasks: dict[str, Any] = import_module(os.environ.get("WINNOW_TASKS", "curation.tasks")).TASKS
    if kind not in tasks:
        raise JobError(f"unknown kind of job {kind!r}; expected one of: {', '.join(tasks)}")
    return tasks[kind]


def _register(ws: Workspace, job_id: str) -> Job:
    with ws.write() as session:
        found = session.get_one(Job, job_id)
        found.pid, found.pid_created, found.heartbeat = os.getpid(), psutil.Process().create_time(), time.time()
    return found


def _await_turn(ws: Workspace, job_id: str, attempt: int) -> bool:
    """Return True once the job is marked as running, False if it was ended or handed to another process meanwhile."""
    beat = 0.0
    while True:
        jobs.refresh(ws)  # a killed job must not block the queue
        with ws.read() as session:
            found = session.get_one(Job, job_id)
            if found.state != "queued" or found.attempt != attempt:
                return False
            next_up = _is_next(session, found)
        if next_up or time.monotonic() - beat > _BEAT:
            with ws.write() as session:  # looked at again, now under the lock
                found = session.get_one(Job, job_id)
                if found.state == "queued" and found.attempt == attempt:
                    found.heartbeat = time.time()
                    beat = time.monotonic()
                    if _is_next(session, found):
                        found.state, found.started = "running", time.time()
                        return True
        time.sleep(_TICK)


def _is_next(session: Session, found: Job) -> bool:
    busy = session.exec(select(Job.id).where(Job.state == "running", Job.device == found.device)).first()
    first = session.exec(jobs.queued(found.device)).first()
    return busy is None and first is not None and bool(first.id == found.id)


def _leave(job_id: str, attempt: int) -> None:
    """End this process and its children at once: the job has been cancelled, or belongs to another process."""
    end_tree(f"{job_id}/{attempt}")
    os._exit(1)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2]))
