"""The workspace: a folder that holds all state, and the only reader and writer of it.

`Workspace` adds projects, decisions, saved selections and experiments to what it inherits: the database
(`curation.database`), artefacts (`curation.artefacts`) and data sets (`curation.datasets`). Sessions are short, so an
instance serves any number of threads; each process opens its own.
"""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from sqlmodel import Session, col, func, select

from curation.artefacts import content_key
from curation.datasets import DatasetStore
from curation.errors import WorkspaceError
from curation.features_store import FeatureStore
from curation.overrides import ACTIONS, Decision, Entry, Merge, OverrideState, merge, replay
from curation.tables import Experiment, OverrideEntry, Project, SavedSelection

__all__ = ["Workspace", "content_key"]


class Workspace(DatasetStore):
    """A workspace folder.

    Parameters
    ----------
    root : Path
        The folder; made, with an empty database of this version's schema, if it is not there.
    """

    @classmethod
    def default(cls) -> Self:
        """Open the workspace that the environment variable `WINNOW_HOME` names, else ``~/.winnow``."""
        return cls(Path(os.environ.get("WINNOW_HOME") or "~/.winnow"))

    def feature_store(self, key: str, role: str) -> FeatureStore:
        """Return the store of the features with representation key `key`, for ``"pool"`` or ``"query"`` rows."""
        return FeatureStore(self.root / "features" / f"{key}-{role}", role)

    # Projects

    def create_project(self, name: str, settings: dict[str, Any] | None = None) -> Project:
        """Make a project; its id is a slug of its name, with a number behind it where that is taken."""
        name = name.strip()
        if not name:
            raise WorkspaceError("a project needs a name, got an empty one; type a name")
        ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-") or "project"
        with self.write() as session:
            project_id, n = slug, 1
            while session.get(Project, project_id) is not None:
                n += 1
                project_id = f"{slug}-{n}"
            project = Project(id=project_id, name=name, settings=json.dumps(settings or {}))
            session.add(project)
        return project

    def projects(self) -> list[Project]:
        """List the projects, last changed first; deleted ones are left out."""
        query = select(Project).where(col(Project.deleted).is_(None)).order_by(col(Project.updated).desc())
        with self.read() as session:
            return list(session.exec(query))

    def project(self, project_id: str) -> Project:
        """Return a project; WorkspaceError if there is none of that id."""
        with self.read() as session:
            return _project(session, project_id)

    def settings(self, project_id: str) -> dict[str, Any]:
        """Return a project's settings."""
        settings: dict[str, Any] = json.loads(self.project(project_id).settings)
        return settings

    def update_settings(self, project_id: str, **changes: Any) -> Project:
        """Set some of a project's settings; the others keep what any other tab has written meanwhile."""
        with self.write() as session:
            project = _project(session, project_id)
            project.settings = json.dumps({**json.loads(project.settings), **changes})
            _touch(project)
        return project

    def rename_project(self, project_id: str, name: str) -> Project:
        """Give a project another name; its id stays."""
        if not name.strip():
            raise WorkspaceError("a project needs a name, got an empty one; type a name")
        with self.write() as session:
            project = _project(session, project_id)
            project.name = name.strip()
            _touch(project)
        return project

    def delete_project(self, project_id: str) -> None:
        """Hide a project; `restore_project` brings it back as it was, and its artefacts stay."""
        with self.write() as session:
            _project(session, project_id).deleted = time.time()

    def restore_project(self, project_id: str) -> Project:
        """Bring a deleted project back."""
        with self.write() as session:
            project = session.get(Project, project_id)
            if project is None:
                raise WorkspaceError(f"there is no project {project_id!r} to restore")
            project.deleted = None
        return project

    # Decisions by hand

    def override(
        self, project_id: str, action: str, row_ids: str | Sequence[str] = "", *, text: str = "", author: str = ""
    ) -> OverrideState:
        """Append one act to a project's log of decisions and return the new state.

        Parameters
        ----------
        project_id : str
            Project.
        action : str
            pin, ban, unpin, unban, note, undo or redo.
        row_ids : str or sequence of str
            The rows it is about; many rows are one act and are undone together. None for undo and redo.
        text : str
            The note; empty takes the note away.
        author : str
            Who decides.
        """
        if action not in ACTIONS:
            raise WorkspaceError(f"unknown action {action!r} on rows; expected one of: {', '.join(ACTIONS)}")
        ids = [row_ids] if isinstance(row_ids, str) else list(row_ids)
        if action not in ("undo", "redo") and not all(ids):
            raise WorkspaceError(f"{action} got an empty row id; name the rows it is about")
        with self.write() as session:
            _project(session, project_id)
            log = _log(session, project_id)
            new = _append(session, project_id, log, [Decision(0, action, row_id, text, author) for row_id in ids])
        return replay([*log, *new])

    def decide(self, project_id: str, decisions: Sequence[Decision]) -> None:
        """Append decisions of several kinds to a project's log as one act, which one undo takes back."""
        with self.write() as session:
            _project(session, project_id)
            _append(session, project_id, _log(session, project_id), decisions)

    def merge_overrides(
        self, project_id: str, decisions: Sequence[Decision], known: Collection[str], favour: Collection[str] = ()
    ) -> Merge:
        """Take over what stands in another log, as one act that one undo takes back; authors and times stay theirs.

        Parameters
        ----------
        project_id : str
            Project.
        decisions : sequence of Decision
            The other log, as `overrides.from_jsonl` reads it.
        known : collection of str
            Ids of the pool's rows; decisions about others are listed, not taken over.
        favour : collection of str
            Rows on which the other log wins; on all others what was decided here stands.
        """
        with self.write() as session:
            _project(session, project_id)
            log = _log(session, project_id)
            told, lines = merge(log, decisions, known, favour)
            _append(session, project_id, log, lines)
        return told

    def overrides(self, project_id: str) -> OverrideState:
        """Return which rows of a project are pinned, banned and noted."""
        return replay(self.override_log(project_id))

    def override_log(self, project_id: str) -> list[OverrideEntry]:
        """Return a project's whole log of decisions, oldest first."""
        with self.read() as session:
            return _log(session, project_id)

    # Saved selections

    def save_selection(
        self, project_id: str, name: str, config: dict[str, Any], subset: str, *, parent: str = "", author: str = ""
    ) -> SavedSelection:
        """Keep a selection under a name; a name used before gets its next version.

        Parameters
        ----------
        project_id, name : str
            Project, and name of the selection.
        config : dict
            Config that makes it.
        subset : str
            Key of the artefact that holds it.
        parent : str
            Name and version of the selection that it was made from.
        author : str
            Who saves it.
        """
        if not name.strip():
            raise WorkspaceError("a saved selection needs a name, got an empty one; type a name")
        with self.write() as session:
            _project(session, project_id)
            newest = session.exec(
                select(func.max(SavedSelection.version)).where(
                    SavedSelection.project_id == project_id, SavedSelection.name == name
                )
            ).one()
            saved = SavedSelection(
                project_id=project_id,
                name=name,
                version=(newest or 0) + 1,
                parent=parent,
                config=json.dumps(config),
                subset=subset,
                author=author,
            )
            session.add(saved)
        return saved

    def selections(self, project_id: str) -> list[SavedSelection]:
        """List a project's saved selections, all versions, newest first."""
        query = select(SavedSelection).where(SavedSelection.project_id == project_id)
        with self.read() as session:
            return list(session.exec(query.order_by(col(SavedSelection.created).desc())))

    # Experiments

    def add_experiment(
        self, project_id: str, name: str, *, key: str = "", job_id: str = "", config: dict[str, Any] | None = None
    ) -> Experiment:
        """Record an experiment of a project: the artefact's key and the job that makes it."""
        experiment = Experiment(
            project_id=project_id, name=name, key=key, job_id=job_id, config=json.dumps(config or {})
        )
        with self.write() as session:
            _project(session, project_id)
            session.add(experiment)
        return experiment

    def experiments(self, project_id: str) -> list[Experiment]:
        """List a project's experiments, newest first."""
        query = select(Experiment).where(Experiment.project_id == project_id)
        with self.read() as session:
            return list(session.exec(query.order_by(col(Experiment.id).desc())))


def _project(session: Session, project_id: str) -> Project:
    project = session.get(Project, project_id)
    if project is None or project.deleted is not None:
        raise WorkspaceError(f"there is no project {project_id!r}; create it, or pick one that exists")
    return project


def _touch(project: Project) -> None:
    project.version += 1
    project.updated = time.time()


def _log(session: Session, project_id: str) -> list[OverrideEntry]:
    query = select(OverrideEntry).where(OverrideEntry.project_id == project_id).order_by(col(OverrideEntry.seq))
    return list(session.exec(query))


def _append(
    session: Session, project_id: str, log: Sequence[OverrideEntry], lines: Sequence[Entry]
) -> list[OverrideEntry]:
    """Write one act behind a log; a line without a time is of now."""
    step = log[-1].step + 1 if log else 1
    new = [
        OverrideEntry(
            project_id=project_id,
            seq=len(log) + i,
            step=step,
            action=line.action,
            row_id=line.row_id,
            text=line.text,
            author=line.author,
            time=line.time or time.time(),
        )
        for i, line in enumerate(lines, start=1)
    ]
    session.add_all(new)
    return new
