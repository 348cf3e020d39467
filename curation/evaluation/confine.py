"""The program that locks itself in and then runs another program: the inner half of the sandbox.

`sandbox` starts this file by its path in a fresh interpreter that holds nothing of Winnow's. It gives up what it could
harm with, for ever, and runs the given program in the same process. What holds is the kernel's, named by what fails:

rlimits    memory (``RLIMIT_AS``), processor time, no file may grow, no core dump, few open files
parent     the kernel kills it when whoever started it dies (``PR_SET_PDEATHSIG``)
privilege  no capability is left, none comes back (``PR_SET_NO_NEW_PRIVS``)
Landlock   of all files only Python's own library, the shared libraries in use and the program can be read
seccomp    a list of allowed system calls: no socket, no process or thread, no signal to others, no ptrace, no opening
           for writing, no change of any file's name, mode or owner, no ioctl, no other program

It needs no root and no namespace, and holds for root as well (``RLIMIT_NPROC`` would not). Left out: that a file
exists, its size and its times can be seen (stat), and a program that means to cheat its own tests can, as in every
runner that shares an interpreter with them. References: Linux ``Documentation/userspace-api``, landlock.rst and
seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import runpy
import signal
import struct
import sys
import sysconfig
import traceback
from collections.abc import Callable
from typing import Any

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table below, AUDIT_ARCH_*
# fmt: off
ALLOWED = {  # name: number on x86_64, on aarch64 (None: there is none)
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "close": (3, 57), "lseek": (8, 62), "dup": (32, 23), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72), "getdents64": (217, 61), "getcwd": (79, 17),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293),
    "sched_yield": (24, 124), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "alarm": (37, None), "setitimer": (38, 103), "getitimer": (36, 102),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getrusage": (98, 165),
    "restart_syscall": (219, 128), "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "sched_getaffinity": (204, 123), "getrlimit": (97, 163),
    "exit": (60, 93), "exit_group": (231, 94),
}
# fmt: on
OPEN, OPENAT, FCNTL, IOCTL = (2, None), (257, 56), (72, 25), (16, 29)
HARMLESS_FCNTL = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: no F_SETOWN, which signals
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY)
EPERM, EACCES, ENOTTY = 1, 13, 25
STARTED = b"+"
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
READ_FILE, READ_DIR = 1 << 2, 1 << 3
HANDLED = {1: 13, 2: 14, 3: 15, 4: 15}  # Landlock version: number of file rights it knows; 16 since 5


def main() -> None:
    """Read what to do from standard input, lock this process in, run the program, tell how it ended."""
    told = json.loads(sys.stdin.buffer.read())
    verdict = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)

    def tell(kind: str, text: str = "") -> None:
        os.write(verdict, (told["token"] + json.dumps({"kind": kind, "text": text[-2000:]})).encode())
        os._exit(0)

    steps: dict[str, Callable[[dict[str, Any]], None]] = {
        "rlimits": limit_resources,
        "parent": die_with_parent,
        "privilege": drop_privileges,
        "Landlock": restrict_files,
        "seccomp": restrict_calls,
    }
    for name, step in steps.items():
        try:
            step(told)
        except (OSError, ValueError) as error:
            tell("refused", f"{name} ({error})")
    os.write(verdict, STARTED)  # from here on the program's wall time counts
    try:
        runpy.run_path(told["program"], run_name="__main__")
    except SystemExit:
        tell("failed", "the program ended itself before its tests were over")
    except BaseException as error:
        tell("failed", "".join(traceback.format_exception_only(error)).strip())
    tell("passed")


def limit_resources(told: dict[str, Any]) -> None:
    """Bound memory and processor time; let no file grow, no core be dumped, few files be open."""
    limits = {
        resource.RLIMIT_AS: told["memory"],
        resource.RLIMIT_CPU: told["cpu_seconds"],
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def die_with_parent(told: dict[str, Any]) -> None:
    """Ask the kernel for SIGKILL when the parent dies; end at once if it is dead already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != told["parent"]:
        os._exit(1)


def drop_privileges(_told: dict[str, Any]) -> None:
    """Give up every capability, and the right to gain any by running another program."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))  # _LINUX_CAPABILITY_VERSION_3, this process
    _checked(_libc.capset(header, ctypes.create_string_buffer(24)))


def restrict_files(told: dict[str, Any]) -> None:
    """Let files be read in Python's library, the shared libraries' folders and the program's own; nothing else."""
    version = _checked(_libc.syscall(LANDLOCK_CREATE, None, 0, 1))
    handled = struct.pack("<Q", (1 << HANDLED.get(version, 16)) - 1)
    ruleset = _checked(_libc.syscall(LANDLOCK_CREATE, handled, 8, 0))
    for path in readable(told["program"]):
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE  # noqa: PTH112
        _checked(_libc.syscall(LANDLOCK_ADD, ruleset, 1, struct.pack("<Qi", rights, folder), 0))
        os.close(folder)
    _checked(_libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def readable(program: str) -> list[str]:
    """Return the folders and files that the program may read."""
    with open("/proc/self/maps") as maps:
        libraries = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
    found = {
        *(os.path.dirname(library) for library in libraries),  # noqa: PTH120
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib")),
        "/etc/ld.so.cache",
        "/usr/share/zoneinfo",
        program,
    }
    return sorted(path for path in found if os.path.exists(path))  # noqa: PTH110


def restrict_calls(_told: dict[str, Any]) -> None:
    """Install the list of allowed system calls; every other one fails with EPERM."""
    program = filter_program(*ARCHITECTURES[platform.machine()])
    code = ctypes.create_string_buffer(program, len(program))
    asked = _Program(len(program) // 8, ctypes.addressof(code))
    _prctl(PR_SET_SECCOMP, 2, ctypes.addressof(asked))


def filter_program(column: int, architecture: int) -> bytes:
    """Return the seccomp filter as BPF: instructions of 8 bytes over the call's number, architecture and arguments."""
    load, same, masked, give = 0x20, 0x15, 0x45, 0x06  # LD|W|ABS, JEQ, JSET, RET
    allow, kill = 0x7FFF0000, 0x80000000

    def fail(errno: int) -> int:
        return 0x00050000 | errno

    code = [(load, 0, 0, 4), (same, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    for number in (found for numbers in ALLOWED.values() if (found := numbers[column]) is not None):
        code += [(same, 0, 1, number), (give, 0, 0, allow)]
    code += [(same, 0, 1, IOCTL[column]), (give, 0, 0, fail(ENOTTY))]  # what is no terminal: Python then does without
    for opening, argument in ((OPEN[column], 1), (OPENAT[column], 2)):
        if opening is not None:
            check = [(load, 0, 0, 16 + 8 * argument), (masked, 0, 1, WRITING), (give, 0, 0, fail(EACCES))]
            code += [(same, 0, 4, opening), *check, (give, 0, 0, allow)]
    choices = [(same, len(HARMLESS_FCNTL) - i, 0, command) for i, command in enumerate(HARMLESS_FCNTL)]
    code += [(same, 0, len(choices) + 3, FCNTL[column]), (load, 0, 0, 16 + 8), *choices]
    code += [(give, 0, 0, fail(EPERM)), (give, 0, 0, allow), (give, 0, 0, fail(EPERM))]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _prctl(option: int, *values: int) -> None:
    _checked(_libc.prctl(option, *(ctypes.c_ulong(v) for v in (*values, 0, 0, 0, 0)[:4])))


def _checked(result: int) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result


if __name__ == "__main__":
    main()
