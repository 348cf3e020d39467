"""What the Curate page says of one example, and that it comes true when it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curation import selectors, workbench
from tests.test_understanding import ready as ready  # the fixture
from tests.test_understanding import view

if TYPE_CHECKING:
    from curation.workspace import Workspace

WITHOUT_VECTORS = [n for n in sorted(selectors.REGISTRY) if not selectors.REGISTRY.load(n).needs_features]


@pytest.mark.parametrize("selector", WITHOUT_VECTORS)
def test_every_row_gets_words_that_come_true(ready: tuple[Workspace, str], selector: str) -> None:
    ws, project = ready
    now = view(ready, selector)
    for place in range(0, 60, 7):
        told = workbench.detail(ws, now, now.pool_ids[place])
        assert told.sentence.endswith(".") and all(s.endswith((".", "in.")) for s in told.more)
        for row in told.rows:
            assert f"row {now.rows.position[row] + 1}" in " ".join(told.more)
        blockers = [now.pool_ids[i] for i in told.explanation.blockers]
        if told.rank is None and blockers:
            ws.override(project, "ban", blockers)
            assert workbench.detail(ws, view(ready, selector), told.example.id).rank is not None
            ws.override(project, "undo")
        if told.explanation.replacement is not None:
            ws.override(project, "ban", told.example.id)
            assert told.rows[-1] in [now.pool_ids[i] for i in view(ready, selector).subset.indices]
            ws.override(project, "undo")


def test_the_words_name_what_stands_between(ready: tuple[Workspace, str]) -> None:
    ws, project = ready
    now = view(ready)
    first, last = (now.pool_ids[now.subset.indices[i]] for i in (0, -1))
    told = workbench.detail(ws, now, first)
    assert "Picked as number 1 of 12 on the turn of query 1 (similarity " in told.sentence
    assert "would come in." in " ".join(told.more) and told.explanation.turn == 0
    left = next(i for i in now.pool_ids if now.rank[now.rows.position[i]] == 0)
    told = workbench.detail(ws, now, left)
    assert (
        told.sentence.startswith("Not picked: its nearest query is") and "were the budget large enough" in told.sentence
    )
    assert "The last pick of query" in told.more[0] and "it comes in" in told.more[0]
    for action, row, said in (("ban", first, "Banned by hand; "), ("pin", left, "Pinned by hand; ")):
        ws.override(project, action, row)
        told = workbench.detail(ws, view(ready), row)
        assert told.sentence.startswith(said)
        ws.override(project, "undo")
    assert last in now.pool_ids


def test_under_quotas_a_place_is_told_as_that_without_them(ready: tuple[Workspace, str]) -> None:
    ws, _ = ready
    now = view(ready, quotas={"s0": 1})
    told = [workbench.detail(ws, now, i) for i in now.pool_ids[::5]]
    numbers = {
        t.example.id: t.sentence.split("would be number ")[1].split(" ")[0]
        for t in told
        if "number" in t.sentence and "would be" in t.sentence
    }
    assert numbers and all("Without quotas it would be number" in t.sentence for t in told if t.example.id in numbers)
    for row, number in numbers.items():
        larger = view(ready, budget=int(number))
        assert larger.pool_ids[larger.subset.indices[-1]] == row


def test_twins_are_named(ready: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch) -> None:
    ws, _ = ready
    now = view(ready)
    assert [workbench.detail(ws, now, now.pool_ids[i]).twins for i in (56, 57, 2)] == [
        [now.pool_ids[57]],
        [now.pool_ids[56]],
        [],
    ]
    monkeypatch.setattr(type(now.represented), "neighbours", None)  # a map drawn before neighbours were kept
    assert workbench.detail(ws, now, now.pool_ids[56]).twins == [now.pool_ids[57]]
