"""The sandbox on HumanEval's own solutions, on empty ones and on hostile programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import psutil

from curation.data.rows import Example, Message
from curation.evaluation.pass_at_k import program
from curation.evaluation.sandbox import Sandbox
from tests.benchmarks.measure import SHARED, Bench, Figure

LIMITS = Sandbox(seconds=2, wall_seconds=10.0)
_START = 2.0  # seconds of wall time that an interpreter may take to start and to be buried
HOSTILE = {
    "process flood, ends itself at 200": "n = 0\nwhile n < 200:\n n += 1\n if os.fork() == 0: time.sleep(60)",
    "child that outlives": "if os.fork() == 0:\n os.setsid()\n time.sleep(60)",
    "infinite loop": "while True: pass",
    "10 GB allocation": "bytearray(10 << 30)",
    "file write outside": "open(victim, 'w').write('gone')",
    "unlink and chmod outside": "os.chmod(victim, 0o777) or os.unlink(victim)",
    "read of the workspace": "raise ValueError(open(victim).read())",
    "connection to a loopback port": "socket.create_connection(('127.0.0.1', port)).send(b'x')",
    "signal to the parent": "os.kill(os.getppid(), signal.SIGUSR1)",
    "ptrace of the parent": "assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0",
    "memory and environment of the parent": "[open(f'/proc/{os.getppid()}/{f}', 'rb') for f in ('environ', 'mem')]",
    "huge output": "while True: os.write(1, b'x' * 100_000), [flood(fd) for fd in range(3, 20)]",
    "endless waiting": "time.sleep(600)",
    "another program": "os.execv('/bin/sh', ['sh', '-c', 'rm -f ' + victim])",
}
_PREAMBLE = """
import ctypes, os, signal, socket, time
victim, port = {victim!r}, {port}
def flood(fd):
    try:
        os.write(fd, b'x' * 100_000)
    except OSError:
        pass
"""


def sandbox(bench: Bench) -> tuple[list[Figure], list[str]]:
    """HumanEval's 148 test problems with their own solutions and with `pass`; hostile programs, harm counted."""
    lines = (SHARED / "data" / "tests" / "humaneval.jsonl").read_text("utf-8").splitlines()
    given = [json.loads(line) for line in lines][:: 10 if bench.quick else 1]
    rows = [Example(g["id"], (Message("user", g["prompt"]),), extra=json.dumps(g)) for g in given]
    Sandbox().require()
    started = time.perf_counter()
    right = Sandbox().run_all([program(row, g["response"]) for row, g in zip(rows, given, strict=True)])
    took = time.perf_counter() - started
    empty = Sandbox().run_all([program(row, "    pass\n") for row in rows])
    told = {name: _harm(bench, code) for name, code in HOSTILE.items()}
    n = len(rows)
    figures = [
        Figure("HumanEval's own solutions that pass", "programs", sum(o.passed for o in right), n, n, f"all {n}"),
        Figure("solutions replaced by pass that pass", "programs", sum(o.passed for o in empty), n, 0, "none", False),
        Figure(
            "hostile programs that did harm or overran", "programs", sum(harm != "" for harm, *_ in told.values()),
            len(told), 0, "none", False,
        ),
    ]  # fmt: skip
    words = [f"{n} programs took {took:.1f} s ({took / n * 1000:.0f} ms each, as many at once as processors)."]
    table = ["| hostile program | harm | s | what it was told |", "|---|---|---:|---|"]
    table += [f"| {name} | {harm or 'none'} | {s:.1f} | {reason} |" for name, (harm, s, reason) in told.items()]
    return figures, [*words, "\n".join(table)]


def _harm(bench: Bench, code: str) -> tuple[str, float, str]:
    """Run a hostile program; return what harm it did (empty if none), its seconds and its reason."""
    folder = bench.cache / "victim"
    folder.mkdir(exist_ok=True)
    victim = folder / "row"
    victim.write_text("precious")
    victim.chmod(0o600)
    signals: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _frame: signals.append(number))
    before = {p.pid for p in psutil.process_iter()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        found = LIMITS.run(_PREAMBLE.format(victim=str(victim), port=server.getsockname()[1]) + code)
        try:
            server.accept()
            harm = ["connected"]
        except TimeoutError:
            harm = []
    signal.signal(signal.SIGUSR1, former)
    left = [
        p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and "confine.py" in str(p.info["cmdline"])
    ]
    intact = victim.is_file() and victim.read_text() == "precious" and victim.stat().st_mode & 0o777 == 0o600
    harm += ["signalled"] * bool(signals) + ["left processes"] * bool(left) + ["changed a file"] * (not intact)
    harm += ["read a file"] * ("precious" in found.reason) + ["passed"] * found.passed
    harm += ["overran"] * (found.seconds > LIMITS.wall_seconds + _START * max(1.0, os.getloadavg()[0]))
    return ", ".join(harm), found.seconds, found.reason
