"""Name → class, loaded only when asked for, so that listing methods costs no import of torch.

Adding a method is one file and one line in its family's table; forms, help, contract tests and documentation are made
from the table and from the fields of each method's `Config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from curation.config import Options
from curation.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """A family of methods.

    Parameters
    ----------
    family : str
        What one member is called in messages, e.g. ``"selector"``.
    members : mapping of str to str
        Name → ``"module:Class"``. Each class has a frozen `Config` (a subclass of `Options`), takes it as its only
        positional argument, and its docstring's first line is the help text.
    """

    def __init__(self, family: str, members: Mapping[str, str]) -> None:
        self.family = family
        self._members = dict(members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def load(self, name: str) -> type[T]:
        """Import and return the class called `name`; ConfigError with the known names otherwise."""
        if name not in self._members:
            raise ConfigError(f"unknown {self.family} {name!r}; expected one of: {', '.join(self._members)}")
        module, _, attribute = self._members[name].partition(":")
        found: type[T] = getattr(import_module(module), attribute)
        return found

    def config(self, name: str) -> type[Options]:
        """Return the options class of the method called `name`."""
        config: type[Options] = self.load(name).Config  # type: ignore[attr-defined]
        return config

    def help(self, name: str) -> str:
        """One sentence on the method called `name`: the first line of its docstring."""
        return (self.load(name).__doc__ or "").strip().partition("\n")[0]

    def create(self, name: str, **options: Any) -> T:
        """Build the method called `name` with `options`; an unknown option is refused with the list of known ones."""
        method: Any = self.load(name)
        created: T = method(self.config(name).from_dict(options, where=f"{self.family} {name!r}"))
        return created
