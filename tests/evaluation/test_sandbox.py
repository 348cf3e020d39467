"""Hostile programs harm nothing and end within their limits; nothing runs where the kernel lacks a mechanism."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.errors import EvaluationError
from curation.evaluation import confine, sandbox
from curation.evaluation.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SHORT = Sandbox(seconds=1, wall_seconds=60.0)  # a busy machine may give little processor time
WAITING = Sandbox(wall_seconds=3.0)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")

HARMLESS = [
    ("process flood", "[os.fork() for _ in range(200)]", "PermissionError"),
    ("thread flood", "[threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(200)]", "new thread"),
    ("outliving child", "if os.fork() == 0:\n os.setsid()\n time.sleep(60)", "PermissionError"),
    ("infinite loop", "while True: pass", "it was stopped after 1 s of processor time"),
    ("endless waiting", "while True: time.sleep(60)", "it was stopped after 3 s"),
    ("waiting deaf", "[signal.signal(s, signal.SIG_IGN) for s in (2, 15, 24)]\nwhile True: pass", "it was stopped"),
    ("10 GB", "bytearray(10 << 30)", "MemoryError"),
    ("10 GB shared", "mmap.mmap(-1, 10 << 30)", "OSError|MemoryError"),
    ("memory file", "os.memfd_create('x')", "PermissionError"),
    ("file overwritten", "open(victim, 'w')", "PermissionError"),
    ("file appended", "open(victim, 'ab')", "PermissionError"),
    ("file cut while opened", "os.open(victim, os.O_RDONLY | os.O_TRUNC)", "PermissionError"),
    ("file cut", "os.truncate(victim, 0)", "PermissionError"),
    ("file made", "open(victim + '2', 'x')", "PermissionError"),
    ("own program overwritten", "open(__file__, 'r+')", "PermissionError"),
    ("file removed", "os.unlink(victim)", "PermissionError"),
    ("file renamed", "os.rename(victim, victim + '2')", "PermissionError"),
    ("file linked", "os.link(victim, victim + '2')", "PermissionError"),
    ("mode changed", "os.chmod(victim, 0o777)", "PermissionError"),
    ("owner changed", "os.chown(victim, 1, 1)", "PermissionError"),
    ("times changed", "os.utime(victim, (0, 0))", "PermissionError"),
    ("folder made", "os.mkdir(victim + '2')", "PermissionError"),
    ("workspace read", "open(victim).read()", "PermissionError"),
    ("workspace listed", "os.listdir(os.path.dirname(victim))", "PermissionError"),
    ("home listed", "os.listdir(os.path.expanduser('~root'))", "PermissionError|FileNotFoundError"),
    ("passwords read", "open('/etc/shadow')", "PermissionError"),
    ("loopback connection", "socket.create_connection(('127.0.0.1', port))", "PermissionError"),
    ("datagram", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
    ("unix socket", "socket.socket(socket.AF_UNIX)", "PermissionError"),
    ("raw socket call", "assert ctypes.CDLL(None).socket(2, 1, 0) >= 0, 'refused'", "AssertionError: refused"),
    ("signal to the parent", "os.kill(os.getppid(), signal.SIGUSR1)", "PermissionError"),
    ("signal to all", "os.kill(-1, signal.SIGUSR1)", "PermissionError"),
    ("signal by file owner", "fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid())", "PermissionError"),
    ("ptrace", "assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0, 'refused'", "AssertionError: refused"),
    ("environment of the parent", "open(f'/proc/{os.getppid()}/environ', 'rb')", "PermissionError"),
    ("memory of the parent", "open(f'/proc/{os.getppid()}/mem', 'rb')", "PermissionError"),
    ("another program", "os.execv('/bin/sh', ['sh', '-c', 'id'])", "PermissionError"),
    ("shell", "assert os.system('true') == 0, 'refused'", "AssertionError: refused|PermissionError"),
    ("more memory for itself", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "PermissionError|not allowed"),
    ("less memory for the parent", "resource.prlimit(os.getppid(), resource.RLIMIT_AS, (1, 1))", "PermissionError"),
    ("new namespace", "assert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'", "AssertionError: refused"),
    ("priority", "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)", "PermissionError"),
    ("huge output", "while True: print('x' * 100_000)", "it was stopped after 1 s of processor time"),
    ("flooded verdict", "while True: [write(fd) for fd in range(3, 30)]", "it was stopped because it said too much"),
    ("false verdict", "[write(fd) for fd in range(3, 30)]\nos._exit(0)", "it ended without running its tests"),
    ("left early", "sys.exit(0)", "the program ended itself before its tests were over"),
    ("left early, at once", "os._exit(0)", "it ended without running its tests to the end"),
    ("crash", "ctypes.string_at(0)", "it ended without running its tests to the end"),
    ("endless recursion", "f = lambda: f()\nf()", "RecursionError"),
    ("syntax error", "def", "SyntaxError"),
    ("not to be encoded", "raise ValueError('\\ud800')", "ValueError"),
]
PREAMBLE = """
import ctypes, fcntl, mmap, os, resource, signal, socket, sys, threading, time
victim, port = {victim!r}, {port}
def write(fd):
    try:
        os.write(fd, b'{{"kind": "passed"}}' * 50)
    except OSError:
        pass
"""


@pytest.mark.parametrize(("program", "reason"), [p[1:] for p in HARMLESS], ids=[p[0] for p in HARMLESS])
def test_hostile_programs_harm_nothing_and_end_in_time(program: str, reason: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    before = victim.stat()[:7], victim.stat().st_mtime_ns  # all but the time of the last reading
    signals: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _frame: signals.append(number))
    children = set(psutil.Process().children(recursive=True))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        preamble = PREAMBLE.format(victim=str(victim), port=server.getsockname()[1])
        found = (WAITING if "sleep" in program else SHORT).run(preamble + program)
        with pytest.raises(TimeoutError):
            server.accept()
    signal.signal(signal.SIGUSR1, former)
    assert not found.passed
    assert any(part in found.reason for part in reason.split("|")), found.reason
    assert victim.read_text() == "precious"
    assert (victim.stat()[:7], victim.stat().st_mtime_ns) == before
    assert [p.name for p in tmp_path.iterdir()] == ["victim"]
    assert signals == []
    assert set(psutil.Process().children(recursive=True)) <= children


def test_ordinary_programs_pass_and_failing_ones_say_why() -> None:
    ordinary = "import collections, datetime, hashlib, itertools, json, math, re, statistics, typing, zoneinfo\n"
    ordinary += "print(hashlib.md5(b'x').hexdigest(), sorted({'b', 'a'}), math.pi, zoneinfo.ZoneInfo('Europe/Rome'))"
    passed, failed = SHORT.run_all([ordinary, "assert 1 + 1 == 3, 'no'"])
    assert (passed.passed, passed.reason) == (True, "")
    assert (failed.passed, failed.reason) == (False, "AssertionError: no")


def test_sets_have_the_same_order_every_time() -> None:
    said = {SHORT.run("raise ValueError(list({'a', 'b', 'c', 'd', 'e', 'f'}))").reason for _ in range(3)}
    assert len(said) == 1


def test_humaneval_answers_pass_and_empty_ones_fail(shared: Path) -> None:
    lines = (shared / "data" / "tests" / "humaneval.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][::10]
    tests = [f"\n{r['test']}\ncheck({r['entry_point']})" for r in rows]
    right = Sandbox().run_all([r["prompt"] + r["response"] + test for r, test in zip(rows, tests, strict=True)])
    empty = Sandbox().run_all([r["prompt"] + "    pass" + test for r, test in zip(rows, tests, strict=True)])
    assert [o.reason for o in right] == [""] * 15
    assert [o.passed for o in empty] == [False] * 15


def test_the_program_dies_with_whoever_started_it() -> None:
    code = "from curation.evaluation.sandbox import Sandbox; Sandbox().run('import time; time.sleep(60)')"
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        programs: list[psutil.Process] = []
        while not programs:
            assert starter.poll() is None
            programs = psutil.Process(starter.pid).children(recursive=True)
            time.sleep(0.05)
    finally:
        starter.kill()
        starter.wait()
    _, alive = psutil.wait_procs(programs, timeout=30)
    assert alive == []


def test_this_machine_holds_everything() -> None:
    Sandbox().require()


def spoilt(old: str, new: str, folder: Path) -> Path:
    """A copy of the inner half in which one thing is broken."""
    text = Path(confine.__file__).read_text()
    assert old in text
    path = folder / "confine.py"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("LANDLOCK_RESTRICT = 444, 445, 446", "LANDLOCK_RESTRICT = 9444, 445, 446", r"the kernel refuses Landlock \("),
        ("PR_SET_SECCOMP, 2", "PR_SET_SECCOMP, 9", r"the kernel refuses seccomp \("),
        ('"Landlock": restrict_files', '"Landlock": str', r"does not hold back reading files \(Landlock\)"),
        ('"seccomp": restrict_calls', '"seccomp": str', r"does not hold back the network \(seccomp\)"),
        ('told["memory"]', "-1", r"does not hold back memory \(RLIMIT_AS\)"),
    ],
)
def test_a_kernel_without_a_mechanism_is_named_and_nothing_is_run(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_CONFINE", spoilt(old, new, tmp_path))
    with pytest.raises(EvaluationError, match=rf"can't lock generated programs in: .*{message}"):
        Sandbox().require()


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EvaluationError, match=r"run only on Linux on x86_64 or aarch64, this is darwin on"):
        Sandbox().require()


@pytest.mark.parametrize("column", [0, 1], ids=["x86_64", "aarch64"])
def test_the_numbers_of_system_calls_are_the_kernels(column: int) -> None:
    headers = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
    header = Path(headers[column])
    if not header.is_file():
        pytest.skip(f"{header} is not installed")
    known: dict[str, int] = {}
    for line in header.read_text().splitlines():
        parts = line.split()
        if len(parts) >= 3 and parts[0] == "#define" and parts[1].startswith("__NR") and parts[2].isdigit():
            known[parts[1].replace("__NR3264_", "__NR_")[5:]] = int(parts[2])
    known["newfstatat"] = known.get("newfstatat", known.get("fstatat", -1))
    names: dict[str, Any] = {**confine.ALLOWED, "open": confine.OPEN, "openat": confine.OPENAT}
    names |= {"fcntl": confine.FCNTL, "ioctl": confine.IOCTL}
    assert {n: v[column] for n, v in names.items() if v[column] is not None} == {
        n: known[n] for n, v in names.items() if v[column] is not None
    }
    never = ("socket", "clone", "clone3", "execve", "kill", "tgkill", "ptrace", "unlinkat", "fchmodat", "prctl")
    allowed = {v[column] for v in names.values()}
    assert not allowed & {known[n] for n in never}
