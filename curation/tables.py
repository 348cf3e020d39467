"""The tables of a workspace's database, as SQLModel classes.

Only metadata lives here: rows are Parquet, arrays are `.npy`, both found by content key. Times are seconds since 1970
in UTC; columns that hold JSON are text. A change here is a new file in `curation/migrations/versions` and a higher
`SCHEMA`; a test compares the two. The tables have a registry of their own, so that a module reload (Streamlit does
that while one edits) does not meet the tables of its former self.
"""

from __future__ import annotations

import time

from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

SCHEMA = 1
"""Version of the database's schema; the number of the newest migration."""


class Table(SQLModel, registry=registry()):
    """Base of all tables."""


class Project(Table, table=True):
    """One piece of work: its data sets, settings, decisions and results. `version` rises with every change."""

    id: str = Field(primary_key=True)
    name: str
    settings: str = "{}"
    version: int = 1
    created: float = Field(default_factory=time.time)
    updated: float = Field(default_factory=time.time)
    deleted: float | None = None


class DatasetRow(Table, table=True):
    """A data set as one project uses it; its rows are the artefact ``dataset/<key>``. One a role is active."""

    project_id: str = Field(primary_key=True, foreign_key="project.id")
    role: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    name: str
    n_rows: int
    n_rejected: int
    config: str = "{}"
    active: bool = True
    created: float = Field(default_factory=time.time)


class Artefact(Table, table=True):
    """A finished folder ``artefacts/<kind>/<key>``: what it was made from and how many bytes it takes."""

    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    config: str = "{}"
    bytes: int = 0
    created: float = Field(default_factory=time.time)


class Job(Table, table=True):
    """Long work as a process. `total` and `done` count `unit`s of the present stage; `eta` is in seconds."""

    id: str = Field(primary_key=True)
    kind: str
    title: str
    project_id: str | None = Field(default=None, index=True)
    config: str = "{}"
    state: str = Field(default="queued", index=True)
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    eta: float | None = None
    metrics: str = "{}"
    result: str = "{}"
    error: str = ""
    pid: int | None = None
    pid_created: float | None = None
    heartbeat: float = Field(default_factory=time.time)
    attempt: int = 1
    created: float = Field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    position: float = 0.0
    device: str = "default"


class OverrideEntry(Table, table=True):
    """One line of a project's append-only log of decisions; the lines of one act share a `step`."""

    project_id: str = Field(primary_key=True, foreign_key="project.id")
    seq: int = Field(primary_key=True)
    step: int
    action: str
    row_id: str = ""
    text: str = ""
    author: str = ""
    time: float = Field(default_factory=time.time)


class SavedSelection(Table, table=True):
    """A selection kept under a name; saving the name again is its next version."""

    project_id: str = Field(primary_key=True, foreign_key="project.id")
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    parent: str = ""
    config: str = "{}"
    subset: str = ""
    author: str = ""
    created: float = Field(default_factory=time.time)


class Experiment(Table, table=True):
    """Arms tuned and judged: the artefact's `key`, and the job that makes it."""

    id: int | None = Field(default=None, primary_key=True)
    project_id: str = Field(foreign_key="project.id", index=True)
    name: str
    key: str = ""
    job_id: str = ""
    config: str = "{}"
    created: float = Field(default_factory=time.time)
