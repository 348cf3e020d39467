"""What the commands of `winnow` share: options that mean the same everywhere, progress as lines, and how they end."""

from __future__ import annotations

import dataclasses
import inspect
import json
import time
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from curation.config import Options
from curation.workspace import Workspace

stderr = Console(stderr=True, soft_wrap=True)

Command = Callable[..., None]
WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", help="Workspace folder; default WINNOW_HOME, else ~/.winnow.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder to export into.")]


class Lines:
    """Progress as lines on standard error: one a stage, and one every tenth of it."""

    def __init__(self) -> None:
        self._stage, self._total, self._done, self._unit, self._told = "", 0, 0, "", 0
        self._began = time.monotonic()

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Begin a stage."""
        self._stage, self._total, self._done, self._unit, self._told = stage, total, 0, unit, 0

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Tell of every tenth."""
        self._done += n
        tenth = 10 * self._done // max(1, self._total)
        if tenth > self._told or not self._total:
            self._told = tenth
            readings = "".join(f" · {name} {value:.4g}" for name, value in metrics.items())
            of = f" of {self._total:,}" if self._total else ""
            self.log(f"{self._stage}: {self._done:,}{of} {self._unit}{readings}")

    def log(self, message: str) -> None:
        """Tell a line, behind the seconds since the command began."""
        stderr.print(f"{time.monotonic() - self._began:6.0f} s  {message}", highlight=False, markup=False)


def open_workspace(workspace: Path | None) -> Workspace:
    """Return the workspace of that folder, or the default one."""
    return Workspace(workspace) if workspace else Workspace.default()


def finish(as_json: bool, result: Mapping[str, Any], path: Path | str) -> None:
    """Print the result: an object for machines, the path or address for people and scripts."""
    print(json.dumps(result, ensure_ascii=False) if as_json else path)


def with_options(options: type[Options]) -> Callable[[Command], Command]:
    """Give a command that takes ``**asked`` an option for each field of `options`, from its default, range and help."""
    hints = typing.get_type_hints(options)
    added = [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=_option(f, hints[f.name])
        )
        for f in dataclasses.fields(options)
    ]

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        command.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        return command

    return decorate


def _option(f: dataclasses.Field[Any], hint: Any) -> Any:
    low, high = f.metadata["low"], f.metadata["high"]
    told = typer.Option(help=f.metadata["help"], min=low, max=high, show_default="\n" not in str(f.default))
    return Annotated[hint, told]
