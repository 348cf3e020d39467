"""Configs as files: read, migrated from older schema versions, their relative paths taken from the file's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curation.config import SCHEMA_VERSION, RunConfig
from curation.errors import ConfigError


def read_config(path: Path) -> RunConfig:
    """Read a run's config; older schema versions are migrated, relative data paths are taken from the file's folder.

    Raises
    ------
    ConfigError
        If the file is missing, is no JSON, is of a newer schema, or names an unknown or ill-typed option.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path} can't be read ({error.strerror}); give the path of a JSON config") from error
    except ValueError as error:
        raise ConfigError(f"config {path} is not JSON ({error}); give a config as `winnow export` writes it") from error
    return RunConfig.from_dict(_absolute(migrate(data), path.parent), where=path.name)


def migrate(data: Any) -> Any:
    """Bring a config of an older schema version to this one; there is only one so far."""
    version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ConfigError(
            f"config has schema_version {version!r}, this Winnow reads up to {SCHEMA_VERSION}; update Winnow"
        )
    return data


def _absolute(data: Any, folder: Path) -> Any:
    """Take relative data and model paths from `folder`, leaving hub ids alone."""
    if not isinstance(data, dict):
        return data
    for name in ("pool", "queries", "tests"):
        entry = data.get(name)
        if isinstance(entry, dict) and isinstance(entry.get("path"), str) and not entry.get("hub"):
            entry["path"] = str((folder / entry["path"]).resolve())
    design = data.get("experiment")
    if isinstance(design, dict) and isinstance(subsets := design.get("subsets"), dict):
        design["subsets"] = {k: str((folder / v).resolve()) if isinstance(v, str) else v for k, v in subsets.items()}
    model = data.get("model")
    if isinstance(model, dict) and isinstance(model.get("name"), str) and (folder / model["name"]).is_dir():
        model["name"] = str((folder / model["name"]).resolve())
    return data
