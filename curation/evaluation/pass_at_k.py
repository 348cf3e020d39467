"""pass@k: the chance that at least one of k generated programs passes the row's tests (Chen et al., 2021, HumanEval).

A row has the fields ``test`` (Python that defines ``check``) and ``entry_point`` (the function's name). Of n samples c
pass; the unbiased estimate is 1 − C(n − c, k) / C(n, k) (their equation 1). One sample is the greedy answer, more are
drawn at `temperature`. Programs run in the sandbox only, and only if the user switched `allow` on.

A program is the answer's first fenced block, else the answer; it stands behind the prompt unless it defines the
function itself, and ends, as in the paper, where a new top-level statement begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, ClassVar

from curation.config import Options, option
from curation.data.rows import Example
from curation.errors import ConfigError, EvaluationError
from curation.evaluation.base import Metric, Role
from curation.evaluation.sandbox import Sandbox

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge

_FENCED = re.compile(r"```(?:\w+)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_STOP = re.compile(r"\n(?=class |def |#|if |print|@|```)")
_IMPORT = re.compile(r"^(?:import|from) .*$", re.MULTILINE)


class PassAtK(Metric):
    """Share of the test rows solved by at least one of k generated programs; higher is better."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """Options of `PassAtK`."""

        allow: bool = option(False, "Run programs that the model writes on this machine, locked in by the sandbox.")
        k: int = option(1, "Programs of which one must pass.", low=1)
        samples: int = option(1, "Programs generated for each row; one is the greedy answer.", low=1)
        temperature: float = option(0.8, "How freely several programs are drawn.", low=0.01, high=2.0)
        seconds: int = option(5, "Processor time of one program, in seconds.", low=1, high=600)

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.k > self.samples:
                raise ConfigError(f"pass@{self.k} of {self.samples} samples can't be told; raise samples to {self.k}")

    role: ClassVar[Role] = "tests"
    higher_is_better = True
    lowest, highest = 0.0, 1.0

    def prepare(self) -> None:
        """Refuse unless the user allowed it and this machine holds everything that the sandbox relies on."""
        if not self.config.allow:
            raise EvaluationError(
                "pass_at_k runs programs that the model writes and is off; switch its option `allow` on or leave it out"
            )
        Sandbox().require()

    def lacks(self, example: Example) -> str:
        """Say which of the two fields the row lacks."""
        missing = [name for name in ("test", "entry_point") if not isinstance(example.field(name), str)]
        return f"it has no column `{missing[0]}` with text" if missing else ""

    def measure(self, judge: Judge) -> list[float | None]:
        """Return the estimate of each row, and keep the first failure's reason."""
        n = self.config.samples
        rows = judge.rows[self.role]
        written = (
            judge.samples(self.role, n, self.config.temperature)
            if n > 1
            else [None if answer is None else [answer] for answer in judge.answers(self.role)]
        )
        judged = [i for i, row in enumerate(rows) if written[i] is not None and not self.lacks(row)]
        programs = [program(rows[i], answer) for i in judged for answer in written[i] or ()]
        outcomes = iter(Sandbox(seconds=self.config.seconds).run_all(programs))
        values: list[float | None] = [None] * len(rows)
        for i in judged:
            found = [next(outcomes) for _ in range(n)]
            failures = [outcome.reason for outcome in found if not outcome.passed]
            if failures:
                self.reasons[rows[i].id] = failures[0]
            values[i] = estimate(n, n - len(failures), self.config.k)
        return values


def estimate(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `passed` of `n` samples."""
    return 1.0 - comb(n - passed, k) / comb(n, k)


def program(example: Example, answer: str) -> str:
    """Return the Python source that runs the row's tests on `answer`."""
    prompt, entry = example.prompt[-1].content if example.prompt else "", example.field("entry_point")
    code = _code(answer) or answer
    if re.search(rf"^def {re.escape(entry)}\b", code, re.MULTILINE):
        body = "\n".join([*_IMPORT.findall(prompt), code])
    else:
        indented = code if code[:1].isspace() else f"    {code}"  # a template may have stripped the first line
        body = f"{_code(prompt) or prompt}{_STOP.split(indented, maxsplit=1)[0]}"
    return f"{body}\n\n{example.field('test')}\n\ncheck({entry})\n"


def _code(text: str) -> str:
    """Return the first fenced block of `text`, empty if there is none."""
    found = _FENCED.search(text)
    return f"{found[1]}\n" if found else ""
