"""Data sets of the Hugging Face hub, or local folders in the hub's format, as a stream of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curation.config import DatasetConfig
from curation.data.records import Record
from curation.errors import DataError


def hub(config: DatasetConfig) -> Iterator[Record]:
    """Yield the rows of a hub data set, streamed; `config.path` is its id, or a folder in the hub's format.

    Raises
    ------
    DataError
        If it, its subset, split or revision does not exist, is gated, can't be reached, or needs code of its own.
    """
    import datasets

    with _hub_errors(config):
        rows = datasets.load_dataset(
            config.path,
            config.subset or None,
            split=config.split,
            revision=config.revision or None,
            streaming=True,
        )
        for line, value in enumerate(rows.decode(False), 1):  # images and sounds stay bytes, which `schemas` refuses
            yield Record(line, dict(value))


def hub_revision(config: DatasetConfig) -> str:
    """Return what `config.revision` stands for now: a commit, or a hash of a local folder's files.

    Raises
    ------
    DataError
        As `hub`.
    """
    folder = Path(config.path)
    if folder.is_dir():
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        digest = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
        return digest.hexdigest()
    from huggingface_hub import HfApi

    with _hub_errors(config):
        revision: str = HfApi().dataset_info(config.path, revision=config.revision or None).sha or config.revision
        return revision


@contextmanager
def _hub_errors(config: DatasetConfig) -> Iterator[None]:
    """Turn what the hub's libraries raise into one sentence."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub import errors

    what = f"hub data set {config.path!r}"
    try:
        yield
    except ConnectionError as error:
        raise _unreachable(what) from error
    except (DatasetsError, errors.HfHubHTTPError, ValueError, RuntimeError, OSError) as error:
        if "gated" in str(error):
            raise DataError(
                f"{what} is gated; accept its terms on its page, then log in with `hf auth login` or set HF_TOKEN"
            ) from error
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{what} (subset {config.subset or 'default'!r}, split {config.split!r}, revision "
            f"{config.revision or 'newest'!r}) can't be read ({reason}); check these four on its page"
        ) from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # that of whichever HTTP library the hub uses
        raise _unreachable(what) from error


def _unreachable(what: str) -> DataError:
    return DataError(
        f"{what} can't be reached from here; connect to the network and unset HF_HUB_OFFLINE, or give a file"
    )
