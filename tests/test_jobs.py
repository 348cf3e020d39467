"""Jobs are real processes here: started, killed, cancelled, resumed and reordered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from curation import jobs
from curation.errors import JobError
from curation.processes import tree
from curation.tables import Job
from curation.workspace import Workspace


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Iterator[None]:
    monkeypatch.setenv("WINNOW_TASKS", "job_tasks")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    yield
    for job in jobs.jobs(workspace):
        jobs.cancel(workspace, job.id)


def until(ws: Workspace, job_id: str, true_of: Callable[[Job], bool], seconds: float = 60.0) -> Job:
    """Return the job once `true_of` holds, as a page that polls would see it."""
    deadline = time.monotonic() + seconds
    while not true_of(job := jobs.job(ws, job_id)):
        told = (job.state, job.stage, job.error, jobs.log_tail(ws, job_id))
        assert job.state in jobs.ACTIVE, told
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return job


def at_work(job: Job) -> bool:
    return job.state == "running" and job.done >= 1


def test_a_job_runs_and_tells_how_it_went(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "count", {"n": 8, "seconds": 0.3}, title="Counting")
    running = until(workspace, job_id, lambda job: at_work(job) and job.rate > 0)
    assert (running.stage, running.unit, running.total) == ("counting", "numbers", 8)
    assert running.eta is not None
    assert 0.5 < running.rate < 10
    assert json.loads(running.metrics).keys() == {"loss"}
    done = jobs.wait(workspace, job_id, 60)
    assert (done.state, done.done, done.attempt, done.error) == ("succeeded", 8, 1, "")
    assert json.loads(done.result) == {"sum": 8}
    assert done.created <= (done.started or 0) <= (done.ended or 0)
    assert [reading["loss"] for reading in jobs.metrics(workspace, job_id)] == [1 / (i + 1) for i in range(8)]
    assert "Counting succeeded" in jobs.log_tail(workspace, job_id, 1)


def test_a_job_tells_the_memory_that_it_takes_and_took(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "count", {"n": 10, "seconds": 0.3})
    assert jobs.memory(workspace, "none") == jobs.Memory()
    until(workspace, job_id, lambda job: jobs.memory(workspace, job.id).now > 10**7)
    jobs.wait(workspace, job_id, 60)
    told = jobs.memory(workspace, job_id)
    assert 10**7 < told.now <= told.peak and told.gpu == 0


def test_the_peak_of_the_memory_is_kept() -> None:
    told = jobs.Memory().then(5, 2).then(9, 0).then(3, 1)
    assert told == jobs.Memory(now=3, peak=9, gpu=1, gpu_peak=2)


def test_a_users_mistake_is_told_in_its_own_words(workspace: Workspace) -> None:
    failed = jobs.wait(workspace, jobs.submit(workspace, "refuse", {}), 60)
    assert (failed.state, failed.error) == ("failed", "the file is empty; choose another")
    assert "Traceback" not in jobs.log_tail(workspace, failed.id)


def test_a_crash_is_told_with_its_traceback_in_the_log(workspace: Workspace) -> None:
    failed = jobs.wait(workspace, jobs.submit(workspace, "crash", {"zero": 0}), 60)
    assert failed.state == "failed"
    assert "ZeroDivisionError" in failed.error
    log = jobs.log_tail(workspace, failed.id)
    assert "about to crash" in log
    assert "Traceback" in log


def test_an_unknown_kind_lists_the_known_ones(workspace: Workspace) -> None:
    failed = jobs.wait(workspace, jobs.submit(workspace, "nothing", {}), 60)
    assert failed.error == "unknown kind of job 'nothing'; expected one of: count, refuse, crash, breed, write, compare"


def test_a_killed_job_is_failed_within_15_s_and_resumes_from_where_it_was(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "count", {"n": 30, "seconds": 0.2})
    running = until(workspace, job_id, lambda job: at_work(job) and job.done >= 3)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    failed = until(workspace, job_id, lambda job: job.state == "failed", seconds=15)
    assert "process of this running job is gone" in failed.error
    assert "counting: 30 numbers" in failed.error  # the log's end stands in the message
    jobs.resume(workspace, job_id)
    done = jobs.wait(workspace, job_id, 60)
    assert (done.state, done.attempt, json.loads(done.result)) == ("succeeded", 2, {"sum": 30})
    readings = jobs.metrics(workspace, job_id)
    assert {reading["attempt"] for reading in readings} == {1, 2}
    assert min(r["done"] for r in readings if r["attempt"] == 2) > 3  # the first three were not counted again


def test_cancel_leaves_no_process_of_the_tree(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "breed", {})
    until(workspace, job_id, lambda job: job.stage == "breeding")
    assert len(tree(job_id)) == 3  # itself, a child, and an orphan in another session; both ignore SIGTERM
    assert jobs.cancel(workspace, job_id).state == "cancelled"
    assert tree(job_id) == []
    assert jobs.job(workspace, job_id).state == "cancelled"
    assert jobs.cancel(workspace, job_id).state == "cancelled"  # a second click does no harm


def test_what_a_killed_job_left_is_ended(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "breed", {})
    running = until(workspace, job_id, lambda job: job.stage == "breeding")
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    until(workspace, job_id, lambda job: job.state == "failed", seconds=15)
    assert tree(job_id) == []


def test_a_cancel_that_died_halfway_is_finished_by_the_job(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "breed", {})
    until(workspace, job_id, lambda job: job.stage == "breeding")
    with workspace.write() as session:
        session.get_one(Job, job_id).state = "cancelled"  # and nobody kills
    deadline = time.monotonic() + 30
    while tree(job_id):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_outlives_the_app_that_submitted_it(workspace: Workspace) -> None:
    root = str(Path(__file__).parent.parent)
    script = (
        "import sys, time\nfrom curation import jobs\nfrom curation.workspace import Workspace\n"
        "print(jobs.submit(Workspace(sys.argv[1]), 'count', {'n': 8, 'seconds': 0.3}), flush=True)\ntime.sleep(600)"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])},
    )
    assert app.stdout is not None
    job_id = app.stdout.readline().strip()
    until(workspace, job_id, at_work)
    os.killpg(app.pid, signal.SIGKILL)  # the app and all that a terminal would take with it
    app.wait()
    app.stdout.close()
    assert jobs.wait(workspace, job_id, 60).state == "succeeded"


def test_one_job_a_device_in_the_order_of_the_queue(workspace: Workspace) -> None:
    slow = {"n": 1000, "seconds": 0.1}
    first = jobs.submit(workspace, "count", slow, title="first")
    until(workspace, first, at_work)
    second, third, fourth = (jobs.submit(workspace, "count", {"n": n}) for n in (2, 3, 4))
    other = jobs.submit(workspace, "count", {"n": 5}, device="cuda:1")
    assert jobs.wait(workspace, other, 60).state == "succeeded"  # another device does not wait
    assert [job.id for job in jobs.jobs(workspace)] == [first, second, third, fourth, other]
    jobs.move(workspace, fourth, 0)
    assert [job.id for job in jobs.jobs(workspace)][:4] == [first, fourth, second, third]
    with pytest.raises(JobError, match="is running; only a queued job can be moved"):
        jobs.move(workspace, first, 0)

    waiting = until(workspace, second, lambda job: job.pid is not None)
    psutil.Process(waiting.pid).kill()  # killed while queued: reported, and it does not block the others
    failed = until(workspace, second, lambda job: job.state == "failed", seconds=15)
    assert "process of this queued job is gone" in failed.error

    jobs.cancel(workspace, first)
    ended = [jobs.wait(workspace, job_id, 60) for job_id in (fourth, third)]
    assert [job.state for job in ended] == ["succeeded", "succeeded"]
    assert (ended[0].ended or 0) <= (ended[1].started or 0)  # never two at once, the moved one first


def test_a_job_whose_submitter_died_before_starting_it_is_failed(workspace: Workspace) -> None:
    with workspace.write() as session:
        session.add(Job(id="lost", kind="count", title="lost", heartbeat=time.time() - 61))
    assert jobs.job(workspace, "lost").state == "failed"


def test_a_full_disk_is_told_and_what_was_written_serves_the_resume(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2**20))
        ws = Workspace(disk / "ws")
        job_id = jobs.submit(ws, "write", {"blocks": 18})
        failed = jobs.wait(ws, job_id, 60)
        assert (failed.state, failed.error.partition(" (")[0]) == ("failed", "a disk is full")
        assert "free some space and start again" in jobs.log_tail(ws, job_id, 1)
        written = {p: p.stat().st_mtime_ns for p in ws.root.glob("artefacts/blocks/k.part/*.bin")}
        assert len(written) > 3
        ballast.unlink()
        jobs.resume(ws, job_id)
        assert jobs.wait(ws, job_id, 60).state == "succeeded"
        folder = ws.artefact("blocks", "k")
        assert len(list(folder.glob("*.bin"))) == 18
        assert all((folder / p.name).stat().st_mtime_ns == time for p, time in written.items())  # not written again
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_another_process_with_the_same_pid_is_not_the_job(workspace: Workspace) -> None:
    with workspace.write() as session:
        session.add(
            Job(
                id="old",
                kind="count",
                title="old",
                state="running",
                pid=os.getpid(),
                pid_created=psutil.Process().create_time() - 1000,
                heartbeat=time.time() - 1000,
            )
        )
    assert jobs.job(workspace, "old").state == "failed"


def test_a_paused_job_goes_on_and_one_that_succeeded_only_if_wanted_again(workspace: Workspace) -> None:
    job_id = jobs.submit(workspace, "count", {"n": 12, "seconds": 0.2})
    until(workspace, job_id, at_work)
    assert jobs.cancel(workspace, job_id, pause=True).state == "paused"
    assert tree(job_id) == [] and jobs.job(workspace, job_id).state == "paused"
    jobs.resume(workspace, job_id)
    assert jobs.wait(workspace, job_id, 120).state == "succeeded"
    jobs.resume(workspace, job_id, again=True)
    done = jobs.wait(workspace, job_id, 120)
    assert (done.state, done.attempt, json.loads(done.result)) == ("succeeded", 3, {"sum": 12})


def test_what_cannot_be_is_refused(workspace: Workspace) -> None:
    with pytest.raises(JobError, match="no job 'x'"):
        jobs.job(workspace, "x")
    done = jobs.wait(workspace, jobs.submit(workspace, "count", {"n": 1}), 60)
    with pytest.raises(JobError, match="is succeeded; only a failed, paused or cancelled job can be resumed"):
        jobs.resume(workspace, done.id)
    job_id = jobs.submit(workspace, "count", {"n": 50, "seconds": 0.2})
    with pytest.raises(JobError, match="after 0 s"):
        jobs.wait(workspace, job_id, 0)


def test_log_tail_shows_the_last_state_of_a_progress_bar(workspace: Workspace) -> None:
    folder = jobs.folder(workspace, "bar")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_bytes(b"one\n 10%\r 50%\r100%\nthree\xff\n")
    assert jobs.log_tail(workspace, "bar", 2) == "100%\nthree\ufffd"
    assert jobs.log_tail(workspace, "none") == ""
