"""Running generated programs so that they harm nothing: the outer half of the sandbox.

Each program runs in a process of its own that locks itself in first (see `confine`, which names the kernel's
mechanisms: rlimits, Landlock, seccomp). From outside come the time limit, a limit on what may be said, and the kill.
Nothing runs where the kernel lacks one of them: before the first program a probe tries, from inside, everything that
must fail, so that what is relied on was seen to hold on this very machine.

Passing means that the program's tests ran to their end: the process must send back a random word that it was told, so
that neither ``sys.exit(0)`` nor ``os._exit(0)`` in a generated answer counts as success.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from curation.errors import EvaluationError
from curation.evaluation.confine import ARCHITECTURES

_CONFINE = Path(__file__).with_name("confine.py")
_MOST_SAID = 64 * 1024  # bytes; a verdict is far shorter
_START = 60.0  # seconds of wall time for the interpreter to start, on a machine that is busy


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes
    ----------
    passed : bool
        Whether it ran to its end without an error.
    reason : str
        Why it did not, in one line; empty if it passed. Text of the program's own errors may be in it.
    seconds : float
        Wall time, the interpreter's start included.
    """

    passed: bool
    reason: str
    seconds: float


@dataclass(frozen=True)
class Sandbox:
    """What one program may use.

    Attributes
    ----------
    seconds : int
        Processor time, whole seconds: what decides, so that a busy machine fails no program.
    wall_seconds : float
        Wall time, for programs that wait.
    memory : int
        Address space in bytes, the interpreter's own (some 50 MB) included.
    """

    seconds: int = 5
    wall_seconds: float = 20.0
    memory: int = 1 << 30

    def require(self) -> None:
        """Raise EvaluationError, saying what is missing, unless every mechanism holds on this machine."""
        if not sys.platform.startswith("linux") or platform.machine() not in ARCHITECTURES:
            raise EvaluationError(
                f"generated programs are run only on Linux on {' or '.join(ARCHITECTURES)}, this is {sys.platform} on "
                f"{platform.machine()}; leave pass_at_k out, or judge on a Linux machine"
            )
        with tempfile.TemporaryDirectory(prefix="winnow-probe-") as folder:
            outside = Path(folder) / "outside"
            outside.write_text("not for programs")
            found = self.run(_PROBE.format(outside=str(outside), parent=os.getpid(), memory=self.memory))
        if not found.passed:
            raise EvaluationError(
                f"this machine can't lock generated programs in: {found.reason}; leave pass_at_k out, or judge on a "
                "machine whose Linux (5.13 or newer) has Landlock and seccomp switched on, also inside containers"
            )

    def run_all(self, programs: Sequence[str]) -> list[Outcome]:
        """Run programs, as many at once as there are processors, and return their outcomes in order."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self.run, programs))

    def run(self, program: str) -> Outcome:
        """Run one Python program, given as source text; it never raises for what the program does."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="winnow-program-") as folder:
            path = Path(folder) / "program.py"
            path.write_text(program, "utf-8", "surrogatepass")
            token = secrets.token_hex(16)
            told = {
                "program": str(path),
                "token": token,
                "parent": os.getpid(),
                "memory": self.memory,
                "cpu_seconds": self.seconds,
            }
            with subprocess.Popen(
                [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(_CONFINE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"PYTHONHASHSEED": "0"},
                start_new_session=True,
            ) as process:
                try:
                    said, late = self._listen(process, json.dumps(told).encode())
                finally:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
            seconds = time.monotonic() - started
        reason = self._reason(said, late, token, process.returncode)
        return Outcome(reason == "", reason, seconds)

    def _listen(self, process: subprocess.Popen[bytes], told: bytes) -> tuple[bytes, bool]:
        """Tell the process what to do; return what it says within the limits, and whether its time ran out."""
        assert process.stdin is not None and process.stdout is not None
        deadline = time.monotonic() + _START
        try:
            process.stdin.write(told)
            process.stdin.close()
        except BrokenPipeError:
            process.stdin = None  # it died at its start; closing would try to write again
        said = b""
        while len(said) < _MOST_SAID and (left := deadline - time.monotonic()) > 0:
            if select.select([process.stdout], [], [], left)[0]:
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    break
                if not said:
                    deadline = time.monotonic() + self.wall_seconds
                said += chunk
        if len(said) < _MOST_SAID:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return said, True
        return said, False

    def _reason(self, said: bytes, late: bool, token: str, code: int) -> str:
        """Return why a program did not pass, in one line; empty if it did."""
        _, found, verdict = said.partition(token.encode())
        if len(said) >= _MOST_SAID:
            return "it was stopped because it said too much"
        if late:
            return f"it was stopped after {self.wall_seconds:g} s"
        if not found and code in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"it was stopped after {self.seconds} s of processor time"
        if not found:
            return f"it ended without running its tests to the end (exit {code})"
        try:
            told = json.loads(verdict)
        except ValueError:
            return "it spoilt its verdict"
        if told["kind"] == "passed":
            return ""
        line = " ".join(str(told["text"]).split())
        return f"the kernel refuses {line}" if told["kind"] == "refused" else line


_PROBE = """
import os, socket

def must_fail(mechanism, attempt):
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError):
        return
    raise SystemError(f"its kernel does not hold back {{mechanism}}")

must_fail("the network (seccomp)", lambda: socket.socket())
must_fail("new processes (seccomp)", os.fork)
must_fail("signals (seccomp)", lambda: os.kill({parent}, 0))
must_fail("reading files (Landlock)", lambda: open({outside!r}))
must_fail("writing files (seccomp)", lambda: open({outside!r}, "r+"))
must_fail("removing files (seccomp)", lambda: os.unlink({outside!r}))
must_fail("reading other processes (Landlock)", lambda: open("/proc/{parent}/environ", "rb"))
must_fail("memory (RLIMIT_AS)", lambda: bytearray({memory}))
"""
