"""What the arms answered, prompt by prompt: runs side by side, of one kind, and where two texts differ.

A run is one training of an arm, written ``arm/seed``; the untuned model has one. Of a pair of runs only the rows on
which their answers differ can be preferred either way: people and judges are asked about those alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from curation.evaluation.winning_rate import Pair
from curation.results import ExperimentRecord
from curation.wording import arm_label, in_order, one_of_each
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.rows import Example
    from curation.evaluation import Evaluation

RIGHT_OR_WRONG = ("exact_match", "numeric_match", "multiple_choice", "pass_at_k")  # the first that was judged counts
SHOWN = {
    "all": "All",
    "gained": "Selected right, random wrong",
    "lost": "Selected wrong, random right",
    "apart": "Arms disagree",
    "wrong": "Every arm wrong",
    "right": "Every arm right",
}


def run_names(result: Mapping[str, Any]) -> dict[str, str]:
    """Return every run that was judged, in the order of arms, with its name: the arm, and its seed of several."""
    judged = result["evaluations"]
    return {
        f"{arm}/{seed}": arm_label(arm) + (f", seed {seed}" if len(judged[arm]) > 1 else "")
        for arm in in_order(judged)
        for seed in judged[arm]
    }


def first_runs(result: Mapping[str, Any], *, sizes: bool = True) -> list[str]:
    """Return each arm's first run, in the order of arms; without `sizes`, of one size of each."""
    judged = result["evaluations"]
    return [f"{arm}/{next(iter(judged[arm]))}" for arm in (in_order if sizes else one_of_each)(judged)]


def arm_of(run: str) -> str:
    """Return the arm of a run."""
    return run.rpartition("/")[0]


def seed_of(run: str) -> int:
    """Return the seed of a run."""
    return int(run.rpartition("/")[2])


def _seeds(result: Mapping[str, Any], arm: str) -> Mapping[str, str]:
    found: Mapping[str, str] = result["evaluations"].get(arm, {})
    return found


def evaluations(ws: Workspace, result: Mapping[str, Any], arm: str) -> list[Evaluation]:
    """Return an arm's judgements, one for each seed."""
    return [_evaluation(ws.root, key) for key in _seeds(result, arm).values()]


@lru_cache(maxsize=64)
def _evaluation(root: Path, key: str) -> Evaluation:
    from curation.evaluation import Evaluation

    path = Workspace(root).artefact("evaluation", key) / "evaluation.json"
    return Evaluation.from_dict(json.loads(path.read_text()))


def judged_rows(ws: Workspace, result: Mapping[str, Any]) -> list[int]:
    """Return the places, in the test set, of the rows that judge arms; none without a test set."""
    left_out = set(result.get("left_out", ()))
    return [n for n, row in enumerate(ws.ids(result["tests"])) if row not in left_out] if result.get("tests") else []


def answer_lengths(ws: Workspace, result: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the median length in characters of the query set's and the test set's answers; None without a test set."""
    if not result.get("tests"):
        return None
    return _median_answer(ws.root, result["queries"]), _median_answer(ws.root, result["tests"])


@lru_cache(maxsize=16)
def _median_answer(root: Path, dataset: str) -> float:
    return float(median(len(e.answer) for e in Workspace(root).iter_examples(dataset)))


# ------------------------------------------------------------------------------------- the same runs in other results

_DESIGN = ("config", "model", "selected", "queries", "tests", "left_out")


def same_runs(ws: Workspace, experiment: str, other: str) -> frozenset[str]:
    """Return the runs that two results of one experiment share, trained and judged alike; none of another experiment.

    An experiment has a further result, with a key of its own, once an arm was added to it or trained to its end: what
    was said of the runs that stay is true of both.
    """
    if experiment == other or any(ws.find("experiment", key) is None for key in (experiment, other)):
        return frozenset()
    (one, judged), (two, judged_too) = (_judged(ws.root, key) for key in (experiment, other))
    return frozenset(run for run, _ in judged & judged_too) if one == two else frozenset()


@lru_cache(maxsize=256)
def _judged(root: Path, experiment: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Hash of an experiment's design, and each of its runs with the key of its judgement."""
    path = Workspace(root).artefact("experiment", experiment) / "result.json"
    result = json.loads(path.read_text("utf-8"))
    judged = result["evaluations"].items()
    runs = frozenset((f"{arm}/{seed}", key) for arm, seeds in judged for seed, key in seeds.items())
    return content_key("design", **{name: result.get(name) for name in _DESIGN}), runs


def other_logs(ws: Workspace, folder: str, experiment: str) -> dict[str, frozenset[str]]:
    """Return the other results of an experiment of which there is a log in `folder`, each with the runs they share."""
    keys = (path.stem for path in sorted((ws.root / folder).glob("*.jsonl")))
    return {key: runs for key in keys if (runs := same_runs(ws, experiment, key))}


# ---------------------------------------------------------------------------------------------------- side by side


def answers(
    ws: Workspace,
    record: ExperimentRecord,
    shown: Sequence[str] = (),
    *,
    kind: str = "all",
    offset: int = 0,
    limit: int = 20,
) -> tuple[pd.DataFrame, int]:
    """Return one page of test prompts with what runs answered, and how many there are of that kind.

    Parameters
    ----------
    shown : sequence of str
        Runs; none means each arm's first.
    kind : str
        Which prompts; a key of `SHOWN`.
    offset, limit : int
        Which of those.

    Returns
    -------
    DataFrame
        Columns ``prompt``, ``expected`` and, a run each, its answer and ``<run>: right`` (True, False or None); the
        index is the place among the rows that judge, from 0.
    int
        Prompts of that kind.
    """
    if record.result is None or not (rows := judged_rows(ws, record.result)):
        return _table(ws, record.result or {"evaluations": {}}, [], []), 0
    runs_shown = list(shown) or first_runs(record.result)
    if kind == "all":
        frame = _table(ws, record.result, rows[offset : offset + limit], runs_shown)
        return frame.set_index(frame.index + offset), len(rows)
    found = _of_kind(_table(ws, record.result, rows, runs_shown), kind)
    return found.iloc[offset : offset + limit], len(found)


def _table(ws: Workspace, result: Mapping[str, Any], rows: list[int], shown: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    examples = ws.some(result["tests"], rows) if rows else []
    columns: dict[str, list[Any]] = {
        "prompt": [question(e) for e in examples],
        "expected": [_expected(e) for e in examples],
    }
    for run in shown if rows else ():
        judged = _evaluation(ws.root, _seeds(result, arm_of(run))[str(seed_of(run))])
        given = dict(zip(judged.answer_ids, judged.answers, strict=True))
        metric = next((m for m in RIGHT_OR_WRONG if m in judged.ids), "")
        right = dict(zip(judged.ids.get(metric, ()), judged.per_example.get(metric, ()), strict=True))
        columns[run] = [given.get(e.id, "") for e in examples]
        columns[f"{run}: right"] = [right[e.id] == 1.0 if e.id in right else None for e in examples]
    return pd.DataFrame(columns)


def _of_kind(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    columns = [c for c in frame if str(c).endswith(": right")]
    judged = frame[columns].eq(True).set_axis([arm_of(str(c).removesuffix(": right")) for c in columns], axis=1)
    judged = judged.loc[:, ~judged.columns.duplicated()]  # of an arm's runs the first
    if judged.empty:
        return frame.iloc[:0]
    every, some = judged.all(axis=1), judged.any(axis=1)
    selected, random = (judged[arm] if arm in judged else every & ~every for arm in ("selected", "random"))
    return frame[
        {
            "gained": selected & ~random,
            "lost": random & ~selected,
            "apart": some & ~every,
            "wrong": ~some,
            "right": every,
        }[kind]
    ]


def question(example: Example) -> str:
    """Return what the model was asked: the one turn, or the whole conversation with each turn's role before it."""
    if len(example.prompt) == 1:
        return example.prompt[0].content
    said = [(m.role.capitalize(), "\n".join(filter(None, (m.content, m.tool_calls)))) for m in example.prompt]
    return "\n\n".join(f"{role}: {text}" for role, text in said)


def _expected(example: Example) -> str:
    references = example.field("references") or [example.answer]
    return str(example.field("answer") or references[0])


# ----------------------------------------------------------------------------------------------------- differences


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: in both (``same``), in this one only (``own``), or in the other only (``missing``)."""

    text: str
    kind: str


def differences(text: str, other: str) -> list[Piece]:
    """Return `text` in pieces, word by word against `other`; joined without the missing ones they are `text`."""
    mine, theirs = (re.findall(r"\s+|\w+|[^\w\s]", t) for t in (text, other))
    pieces = []
    for kind, a, b, c, d in SequenceMatcher(None, mine, theirs).get_opcodes():
        own, missing = "".join(mine[a:b]), "".join(theirs[c:d])
        if kind == "equal":
            pieces.append(Piece(own, "same"))
            continue
        pieces += [Piece(missing, "missing")] if missing else []
        pieces += [Piece(own, "own")] if own else []
    return pieces


def pairs(ws: Workspace, result: Mapping[str, Any], first: str, second: str) -> tuple[list[Pair], int]:
    """Return the test rows on which two runs answer differently, with both answers; and how many they answer alike.

    Rows that one of them did not answer are in neither.
    """
    one, other = (_evaluation(ws.root, _seeds(result, arm_of(r))[str(seed_of(r))]) for r in (first, second))
    said, replied = (dict(zip(e.answer_ids, e.answers, strict=True)) for e in (one, other))
    both = [row for row in said if row in replied]
    apart = {row for row in both if said[row].strip() != replied[row].strip()}
    examples = ws.rows(result["tests"], [row for row in both if row in apart]) if apart else []
    return [Pair(e.id, question(e), said[e.id], replied[e.id]) for e in examples], len(both) - len(apart)
