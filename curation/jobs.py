"""Long work as processes that outlive the tab and the app: submit, watch, reorder, cancel, resume.

A job is a row in the workspace's database and a process of its own (`curation.job_runner`), in its own session, with
its log in ``jobs/<id>/log.txt``. Every submitted job's process waits for its turn: one runs a device at a time, in the
order of `position`. What is shown is checked against the living processes, so a killed job is never shown as running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from sqlmodel import Session, col, func, select

from curation.database import storage_errors
from curation.errors import JobError
from curation.processes import MARK, alive, end_tree
from curation.tables import Job
from curation.workspace import Workspace

ACTIVE = ("queued", "running")
_START_SECONDS = 60.0  # a process of many libraries starts slowly on a busy machine
_HEARTBEAT_SECONDS = 10.0
_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Memory:
    """Bytes that a job's processes take now, and took at most; `gpu` is what torch holds on the GPU."""

    now: int = 0
    peak: int = 0
    gpu: int = 0
    gpu_peak: int = 0

    def then(self, now: int, gpu: int) -> Memory:
        """Return this with a later reading."""
        return Memory(now, max(self.peak, now), gpu, max(self.gpu_peak, gpu))

    def store(self, folder: Path) -> None:
        """Write it into a job's folder, beside and renamed."""
        part = folder / "memory.json.part"
        part.write_text(json.dumps(asdict(self)))
        part.replace(folder / "memory.json")


def submit(
    ws: Workspace,
    kind: str,
    config: dict[str, Any],
    project_id: str | None = None,
    title: str = "",
    *,
    device: str = "default",
) -> str:
    """Queue work and start the process that will do it; return the job's id.

    Parameters
    ----------
    ws : Workspace
        Where the job and its results are kept.
    kind : str
        Name of the task in `curation.tasks.TASKS`.
    config : dict
        What the task gets, in plain JSON.
    project_id, title : str
        The project it is for, and what people call it.
    device : str
        Queue that it waits in; one job a device runs at a time.

    Raises
    ------
    WorkspaceError
        If the disk is full.
    """
    job = Job(
        id=uuid.uuid4().hex[:12],
        kind=kind,
        title=title or kind,
        project_id=project_id,
        config=json.dumps(config),
        device=device,
    )
    with ws.write() as session:
        job.position = _last_position(session)
        session.add(job)
    _spawn(ws, job.id, job.attempt)
    return job.id


def jobs(ws: Workspace, project_id: str | None = None) -> list[Job]:
    """List jobs as they truly are: running, then queued in their order, then ended ones, newest first."""
    refresh(ws)
    query = select(Job) if project_id is None else select(Job).where(Job.project_id == project_id)
    with ws.read() as session:
        found = list(session.exec(query))
    rank = {"running": 0, "queued": 1}
    return sorted(found, key=lambda j: (rank.get(j.state, 2), j.position if j.state in rank else -(j.ended or 0.0)))


def job(ws: Workspace, job_id: str) -> Job:
    """Return one job as it truly is; JobError if there is none of that id."""
    refresh(ws)
    with ws.read() as session:
        return _get(session, job_id)


def wait(ws: Workspace, job_id: str, timeout: float | None = None) -> Job:
    """Return the job once it has ended; JobError if that takes longer than `timeout` seconds."""
    deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
    while (found := job(ws, job_id)).state in ACTIVE:
        if time.monotonic() > deadline:
            raise JobError(
                f"job {job_id} is still {found.state} after {timeout:.0f} s; wait longer, or look at its log"
            )
        time.sleep(0.1)
    return found


def refresh(ws: Workspace) -> None:
    """Mark as failed every job whose process is gone, and end what is left of its tree."""
    with ws.read() as session:
        active = list(session.exec(select(Job).where(col(Job.state).in_(ACTIVE))))
    for found in active:
        if _lives(found):
            continue
        last = log_tail(ws, found.id, 1)
        with ws.write() as session:
            now = _get(session, found.id)
            if (now.state, now.attempt, now.pid) != (found.state, found.attempt, found.pid):
                continue  # it ended, or was resumed, between the look and the lock
            now.error = (
                f"the process of this {found.state} job is gone (killed, out of memory, or the machine was restarted); "
                "resume it: it goes on from what it had finished" + (f". Its log ends: {last}" if last else "")
            )
            now.state, now.ended = "failed", time.time()
        end_tree(f"{found.id}/{found.attempt}")


def cancel(ws: Workspace, job_id: str, *, pause: bool = False) -> Job:
    """End a job and its whole process tree; when this returns, none of its processes is left.

    An ended job stays as it is. `pause` says only that it is meant to go on later: it is then shown as paused.
    """
    with ws.write() as session:
        found = _get(session, job_id)
        if found.state in ACTIVE:
            found.state, found.ended, found.eta = "paused" if pause else "cancelled", time.time(), None
    end_tree(job_id)
    return found


def resume(ws: Workspace, job_id: str, *, again: bool = False) -> Job:
    """Queue a job again with the same config; it goes on from what it had finished.

    Parameters
    ----------
    again : bool
        Also one that succeeded, because its orders have changed.

    Raises
    ------
    JobError
        If it has not ended, or succeeded and is not wanted again.
    """
    refresh(ws)
    with ws.write() as session:
        found = _get(session, job_id)
        if found.state in ACTIVE or (found.state == "succeeded" and not again):
            raise JobError(f"job {job_id} is {found.state}; only a failed, paused or cancelled job can be resumed")
        found.state, found.attempt, found.position = "queued", found.attempt + 1, _last_position(session)
        found.pid = found.pid_created = found.started = found.ended = found.eta = None
        found.error, found.stage, found.done, found.total, found.rate = "", "", 0, 0, 0.0
        found.heartbeat = time.time()
    _spawn(ws, job_id, found.attempt)
    return found


def move(ws: Workspace, job_id: str, position: int) -> None:
    """Put a queued job at place `position` (0 is next) among those that wait for its device."""
    with ws.write() as session:
        found = _get(session, job_id)
        if found.state != "queued":
            raise JobError(f"job {job_id} is {found.state}; only a queued job can be moved")
        queue = list(session.exec(queued(found.device)))
        places = [waiting.position for waiting in queue]
        queue.remove(found)
        queue.insert(max(0, position), found)
        for place, waiting in zip(places, queue, strict=True):
            waiting.position = place


def queued(device: str) -> Any:
    """Return the query for the jobs that wait for a device, next first."""
    return select(Job).where(Job.state == "queued", Job.device == device).order_by(col(Job.position))


def folder(ws: Workspace, job_id: str) -> Path:
    """Return the folder of a job's log and metrics."""
    return ws.root / "jobs" / job_id


def log_tail(ws: Workspace, job_id: str, n: int = 50) -> str:
    """Return the last `n` lines of a job's log; of a redrawn progress bar, what it showed last."""
    path = folder(ws, job_id) / "log.txt"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]
    return "\n".join(lines[-n:])


def memory(ws: Workspace, job_id: str) -> Memory:
    """Return what memory a job's processes took when last looked at, and at most; zeros before the first look."""
    path = folder(ws, job_id) / "memory.json"
    return Memory(**json.loads(path.read_text())) if path.is_file() else Memory()


def metrics(ws: Workspace, job_id: str) -> list[dict[str, Any]]:
    """Return every reading (loss, learning rate …) of a job in order, with time, attempt, stage and units done."""
    path = folder(ws, job_id) / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is half-written
    return [orjson.loads(line) for line in lines]  # a long training has very many


def _get(session: Session, job_id: str) -> Job:
    found = session.get(Job, job_id)
    if found is None:
        raise JobError(f"there is no job {job_id!r} in this workspace; `winnow jobs` lists them")
    return found


def _last_position(session: Session) -> float:
    return float(session.exec(select(func.max(Job.position))).one() or 0.0) + 1.0


def _lives(found: Job) -> bool:
    if found.pid is None:  # not started yet, unless the one that submitted it died in between
        return time.time() - found.heartbeat < _START_SECONDS
    if alive(found.pid, found.pid_created):
        return True
    # The clock may have been set by more than `alive` allows; a fresh heartbeat then tells.
    return alive(found.pid, None) and time.time() - found.heartbeat < _HEARTBEAT_SECONDS


def _spawn(ws: Workspace, job_id: str, attempt: int) -> None:
    here = folder(ws, job_id)
    package = str(Path(__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        MARK: f"{job_id}/{attempt}",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }
    with storage_errors(ws.root):
        here.mkdir(parents=True, exist_ok=True)
        with (here / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "curation.job_runner", str(ws.root), job_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # so that the app's end is not the job's
            )
    # Reaps the process when it ends, so that it never lingers as a zombie of a long-lived app.
    threading.Thread(target=process.wait, daemon=True, name=f"job {job_id}").start()
    with ws.write() as session:
        found = _get(session, job_id)
        if found.pid is None:
            found.pid = process.pid
            found.pid_created = _created(process.pid)


def _created(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
