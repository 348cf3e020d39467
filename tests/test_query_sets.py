"""Queries written down and read again are the same rows."""

from __future__ import annotations

import json
from pathlib import Path

from curation import pipeline, query_sets
from curation.config import DatasetConfig
from curation.workspace import Workspace


def test_rows_are_read_again_as_they_were(workspace: Workspace, tmp_path: Path) -> None:
    calls = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    turns = [
        {"role": "user", "content": "call it"},
        {"role": "assistant", "content": "", "tool_calls": calls, "train": False},
        {"role": "assistant", "content": "Two.\u2028"},
    ]
    lines = [
        {"messages": turns, "group": "tools", "source": "mine", "licence": "CC0", "id": "7", "answer": "2"},
        {"messages": [turns[0], turns[2]], "group": None, "source": None, "licence": None, "id": None, "answer": None},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pid = workspace.create_project("Sums").id
    before = workspace.examples(pipeline.load(workspace, DatasetConfig(path=str(path)), "query"))
    assert workspace.examples(query_sets.store(workspace, pid, before, "again")) == before
    again = tmp_path / "again.jsonl"
    again.write_text(query_sets.to_jsonl(before))  # the columns are found by their names, too
    assert workspace.examples(pipeline.load(workspace, DatasetConfig(path=str(again)), "query")) == before
