"""Operating-system processes of a job: is it alive, and end the whole tree.

A job's processes carry its id and attempt in the environment, which children inherit; so even those whose parent died,
or that made a session of their own, are found. Covers Linux and macOS, where one may read one's own processes'
environment.
"""

from __future__ import annotations

import os
import time

import psutil

from curation.errors import JobError

MARK = "WINNOW_JOB"
_ASK_SECONDS = 3.0
_KILL_SECONDS = 15.0


def alive(pid: int, created: float | None) -> bool:
    """Return whether the process `pid`, begun at `created` (seconds since 1970), still runs; a zombie does not."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Ids are used again. Start times are reckoned from the clock, which may be set, hence the slack.
        return created is None or abs(process.create_time() - created) < 5.0
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's process is not ours come back
        return False


def tree(mark: str) -> list[psutil.Process]:
    """Return every living process of a job but the calling one.

    Parameters
    ----------
    mark : str
        ``job/attempt``, or ``job`` for those of all its attempts.
    """
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            if f"{process.environ().get(MARK)}/".startswith(f"{mark}/"):
                found |= {process, *process.children(recursive=True)}  # a child may have rewritten its environment
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
    return [p for p in found if p.pid != os.getpid() and alive(p.pid, None)]


def end_tree(mark: str) -> None:
    """End every process of a job (see `tree`) but the calling one: ask first, then kill, until none is left.

    Raises
    ------
    JobError
        If the system does not end them, which happens while a driver or a dead network disk holds them.
    """
    began = time.monotonic()
    while processes := tree(mark):
        waited = time.monotonic() - began
        if waited > _KILL_SECONDS:
            raise JobError(
                f"processes {', '.join(str(p.pid) for p in processes)} of job {mark} can't be ended; the system holds "
                "them, which mostly needs a restart of the machine"
            )
        for process in processes:
            try:
                process.terminate() if waited < _ASK_SECONDS else process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=0.5)
