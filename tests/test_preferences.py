"""Who is preferred to whom, by people and by a judge, in words; how far the two agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curation import answers, preferences, votes
from curation.votes import Vote
from tests.test_answers import record as record  # the fixture

if TYPE_CHECKING:
    from curation.results import ExperimentRecord
    from curation.workspace import Workspace

ONE, OTHER = "selected/4", "random/0"
KEY = "f" * 32
JUDGED: dict[str, Any] = {
    "rate": {"mean": 0.75, "low": 0.6, "high": 0.9},
    "wins": 2,
    "losses": 0,
    "ties": 2,
    "agreement": 0.5,
    "first_place": 0.6,
    "values": {"a": 1.0, "b": 0.5, "c": 0.5, "d": 1.0},
    "unreadable": ["e"],
    "input_tokens": 1200,
    "output_tokens": 300,
    "cost": 0.0125,
    "first": ONE,
    "second": OTHER,
    "judge": {"model": "m", "endpoint": "http://localhost:1/v1"},
}


def keep(ws: Workspace, told: dict[str, Any]) -> None:
    with ws.build("winning_rate", "e" * 32, {"experiment": KEY, "first": ONE, "second": OTHER}) as part:
        (part / "winning_rate.json").write_text(json.dumps(told))


def test_people_and_judge_are_told_side_by_side_with_their_agreement(
    workspace: Workspace, record: ExperimentRecord
) -> None:
    result = record.result or {}
    assert preferences.preferences(workspace, KEY, result) == []
    pairs, _ = answers.pairs(workspace, result, ONE, OTHER)
    for _ in pairs[:2]:
        asked = votes.ballot(pairs, ONE, OTHER, votes.log(workspace, KEY), "Ada")
        assert asked is not None
        votes.vote(workspace, KEY, asked, "left" if asked.runs[0] == ONE else "right", "Ada")
    rows = [v.row for v in votes.log(workspace, KEY)]
    keep(workspace, JUDGED | {"values": {rows[0]: 1.0, rows[1]: 0.5}})
    people, judge = preferences.preferences(workspace, KEY, result)
    assert "Selected, seed 4" in people.finding.sentence and "people" in people.finding.sentence
    assert people.details == (
        "2 votes for Selected, seed 4, 0 for Random, 0 equal; 2 prompts, 1 voter. An equal vote counts half.",
    )
    assert judge.finding.sentence.startswith("Selected, seed 4 is preferred to Random by the judge: it wins 75 %")
    assert judge.details == (
        "2 won, 0 lost, 2 tied. Both orders agree on 50 % of the pairs; where they do not it is a tie. The answer read "
        "first got 60 % of the clear verdicts (50 % is fair). Not counted, for want of a "
        "verdict that can be read: 1 pair; judging again asks anew.",
        "People and the judge say the same on 1 of the 2 prompts that both looked at.",
        "Judge: m at http://localhost:1/v1 · 1,500 tokens, 0.013 in your currency",
    )


@pytest.mark.parametrize(
    ("judged", "voted", "same"),
    [
        ({"a": 1.0}, {"b": 1.0}, ""),
        ({"a": 1.0}, {"a": 0.6}, "1 of the 1 prompt "),  # more of the people for the same one
        ({"a": 0.5}, {"a": 0.5}, "1 of the 1 prompt "),
        ({"a": 0.5, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 0.2, "c": 0.5}, "1 of the 3 prompts "),
    ],
)
def test_agreement_is_of_the_same_side(judged: dict[str, float], voted: dict[str, float], same: str) -> None:
    told = preferences.agreement(judged, voted)
    assert (same in told) if same else told == ""


def test_several_people_on_a_prompt_are_one_mean_turned_with_the_pair() -> None:
    cast = [Vote("a", ONE, OTHER, ONE, "Ada"), Vote("a", OTHER, ONE, OTHER, "Bo"), Vote("b", ONE, OTHER, "", "Ada")]
    cast.append(Vote("c", ONE, OTHER, OTHER, "Ada"))
    assert votes.values(cast, ONE, OTHER) == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert votes.values(cast, OTHER, ONE) == {"a": 0.5, "b": 0.5, "c": 1.0}
