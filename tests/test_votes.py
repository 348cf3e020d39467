"""Blind votes: an order that hides and repeats, an append-only log, undo, and the rate with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curation import votes
from curation.errors import EvaluationError
from curation.evaluation.winning_rate import Pair
from curation.votes import Ballot, Vote
from tests.test_answers import completed as completed  # the fixture

if TYPE_CHECKING:
    from curation.workspace import Workspace

ONE, OTHER, STOPPED = "selected/0", "random/0", "full/0"
PAIRS = [Pair(f"row{i}", f"question {i}", f"of one {i}", f"of other {i}") for i in range(40)]


def cast(ws: Workspace, choices: str, author: str = "") -> list[Ballot]:
    """Vote by letters: l, r, t; o is for the one, x for the other, wherever they stand."""
    asked = []
    for letter in choices:
        ballot = votes.ballot(PAIRS, ONE, OTHER, votes.standing(votes.log(ws, "e")), author)
        assert ballot is not None
        wanted = {"o": ONE, "x": OTHER}.get(letter, "")
        choice = (
            ("left", "right")[ballot.runs.index(wanted)] if wanted else {"l": "left", "r": "right", "t": "tie"}[letter]
        )
        votes.vote(ws, "e", ballot, choice, author)
        asked.append(ballot)
    return asked


def test_each_prompt_is_asked_once_in_an_order_of_its_voter(workspace: Workspace) -> None:
    asked = cast(workspace, "l" * 40, "Ada")
    assert sorted(b.row for b in asked) == sorted(p.id for p in PAIRS)
    assert [b.row for b in asked] != [p.id for p in PAIRS]
    assert votes.ballot(PAIRS, ONE, OTHER, votes.standing(votes.log(workspace, "e")), "Ada") is None
    assert [b.row for b in cast(workspace, "l" * 40, "Bo")] != [b.row for b in asked]


def test_sides_are_mixed_and_the_answers_go_with_their_runs(workspace: Workspace) -> None:
    asked = cast(workspace, "t" * 40)
    left = sum(b.runs[0] == ONE for b in asked)
    assert 8 <= left <= 32  # of 40, drawn by a hash
    for ballot in asked:
        said = dict(zip(ballot.runs, ballot.answers, strict=True))
        n = ballot.row.removeprefix("row")
        assert said == {ONE: f"of one {n}", OTHER: f"of other {n}"} and ballot.question == f"question {n}"


def test_the_same_pair_named_the_other_way_round_is_the_same_ballot() -> None:
    turned = [Pair(p.id, p.question, p.second, p.first) for p in PAIRS]
    assert votes.ballot(PAIRS, ONE, OTHER, [], "Ada") == votes.ballot(turned, OTHER, ONE, [], "Ada")


def test_the_log_survives_and_undo_only_appends(workspace: Workspace) -> None:
    from curation.workspace import Workspace as Reopened

    first = cast(workspace, "oox", "Ada")
    cast(workspace, "x", "Bo")
    votes.undo(workspace, "e", votes.standing(votes.log(workspace, "e"))[2])
    log = votes.log(Reopened(workspace.root), "e")
    assert [v.action for v in log] == ["vote"] * 4 + ["undo"] and all(v.time > 1e9 for v in log)
    left = votes.standing(log)
    assert [(v.author, v.better) for v in left] == [("Ada", ONE), ("Ada", ONE), ("Bo", OTHER)]
    again = votes.ballot(PAIRS, ONE, OTHER, left, "Ada")
    assert again == first[2]  # what was taken back is asked again, sides and all
    votes.undo(workspace, "e", log[2])  # does not stand
    assert len(votes.log(workspace, "e")) == 5


def test_an_undo_takes_back_the_vote_that_it_names() -> None:
    full = Vote("a", ONE, "full/0", ONE, "Ada")
    cast = [Vote("a", ONE, OTHER, ONE, "Ada"), full, Vote("a", ONE, OTHER, "", "Bo")]
    undo = Vote("a", ONE, OTHER, author="Ada", action="undo")
    assert votes.standing([*cast, undo]) == cast[1:]
    assert votes.standing([*cast, undo, undo]) == cast[1:]
    assert votes.standing([*cast, Vote("", "", "", author="Ada", action="undo")]) == [cast[0], cast[2]]  # as it was


def test_a_half_written_line_costs_itself_alone(workspace: Workspace) -> None:
    cast(workspace, "o")
    path = workspace.root / "votes" / "e.jsonl"
    path.write_bytes(path.read_bytes() + b'\n{"row": "row')
    cast(workspace, "x")
    assert [v.better for v in votes.log(workspace, "e")] == [ONE, OTHER]


def test_the_rate_counts_ties_half_and_a_prompt_once(workspace: Workspace) -> None:
    assert votes.preference([], ONE, OTHER) is None
    cast(workspace, "ooooooxtt", "Ada")
    told = votes.preference(votes.standing(votes.log(workspace, "e")), ONE, OTHER)
    assert told is not None
    assert (told.wins, told.losses, told.ties, told.voters) == (6, 1, 2, 1)
    assert told.rate.mean == pytest.approx(7 / 9) and told.rate.low < 7 / 9 < told.rate.high
    turned = votes.preference(votes.standing(votes.log(workspace, "e")), OTHER, ONE)
    assert turned is not None and turned.rate.mean == pytest.approx(2 / 9)
    two = [Vote("a", ONE, OTHER, ONE, "Ada"), Vote("a", OTHER, ONE, OTHER, "Bo"), Vote("b", ONE, OTHER, ONE, "Ada")]
    told = votes.preference([*two, Vote("c", ONE, "full/0", "full/0")], ONE, OTHER)
    assert told is not None and told.rate.mean == 0.75 and told.rate.n_examples == 2 and told.voters == 2


def test_votes_outlive_the_completion_of_an_experiment(workspace: Workspace, completed: tuple[str, str, str]) -> None:
    before, after, other = completed
    ballot = Ballot("row", "q", ("x", "y"), (ONE, OTHER))
    kept = votes.vote(workspace, before, ballot, "left", "Ada")
    votes.vote(workspace, before, Ballot("row", "q", ("x", "y"), (ONE, STOPPED)), "left", "Ada")
    votes.vote(workspace, other, ballot, "right", "Ada")
    later = votes.vote(workspace, after, Ballot("row2", "q", ("x", "y"), (ONE, OTHER)), "right", "Ada")
    assert votes.log(workspace, after) == [kept, later]  # the run that was trained on answers otherwise now
    votes.undo(workspace, after, kept)
    assert votes.log(workspace, after) == [later]
    assert kept not in votes.standing(votes.log(workspace, before))


def test_a_choice_that_is_none_is_refused(workspace: Workspace) -> None:
    with pytest.raises(EvaluationError, match="a vote is 'both', expected one of: left, right, tie"):
        votes.vote(workspace, "e", Ballot("a", "q", ("x", "y"), (ONE, OTHER)), "both")
    assert votes.log(workspace, "e") == []
