"""Every error that a user can cause.

Each message says what was got, what was expected and what to do about it, in one sentence or two; the app shows it as
it is, the command line prints it and exits with the kind's code.
"""

from __future__ import annotations


class CurationError(Exception):
    """Base of all errors that a user can cause; `exit_code` is what `winnow` exits with."""

    exit_code = 1


class ConfigError(CurationError):
    """An option is unknown, has the wrong type or is out of its range."""

    exit_code = 2


class DataError(CurationError):
    """A file can't be read, or none of its rows can be used."""

    exit_code = 3


class ModelError(CurationError):
    """A model or tokenizer is missing, gated, too large or lacks what is needed."""

    exit_code = 4


class SelectionError(CurationError):
    """A selection can't be made: bad similarity, budget, pins or bans."""

    exit_code = 5


class WorkspaceError(CurationError):
    """The workspace can't be read or written, or holds something damaged."""

    exit_code = 6


class JobError(CurationError):
    """A job can't be started, found, cancelled or resumed."""

    exit_code = 7


class TrainingError(CurationError):
    """Fine-tuning can't go on: NaN loss, no usable rows, out of memory."""

    exit_code = 8


class EvaluationError(CurationError):
    """A metric lacks the field it needs, or a model produced nothing to judge."""

    exit_code = 9


class PublishError(CurationError):
    """A data set can't be pushed: no login, no right, no network, or another one stands there."""

    exit_code = 10
