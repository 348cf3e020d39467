"""The demo world: a seeded pool with planted noise, near-duplicates and traps, and clean query and test sets.

What selection may see (`pool`, `queries`, `tests`) and what only the judge may see (`truth`) are kept apart: a row's
id, source and text do not name its skill.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from curation.demo import text
from curation.demo.problems import Problem
from curation.demo.skills import BY_NAME, SKILLS, TARGETS, Skill

VERSION = 2
"""Of the drawing: another one draws other worlds from the same seeds."""

N_POOL = 6000
NOISE_SHARE = 0.15
DUPLICATE_SHARE = 0.10
TRAP_SHARE = 0.06
N_QUERIES = 16
N_TESTS = 120

SOURCES: tuple[str, ...] = ("harbor-notes", "lantern-qa", "quillset", "mosaic-tasks", "ferry-letters", "cedar-box")

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A demo world.

    Attributes
    ----------
    pool : list of dict
        Rows with `id`, `source` and `messages`.
    queries : dict of str to list of dict
        Target skill → clean rows, as in the pool.
    tests : dict of str to list of dict
        Target skill → clean rows with the right answer once more as `answer`.
    truth : dict of str to dict
        Row id → `skill`, `noise`, `duplicate_of` (a pool id or None) and `trap`. Selection never sees it.
    """

    pool: list[Row]
    queries: dict[str, list[Row]]
    tests: dict[str, list[Row]]
    truth: dict[str, Row]


@dataclass(frozen=True)
class _Draft:
    """A pool row before ids are given; `original` is the number of the draft that it repeats."""

    skill: Skill
    problem: Problem
    instruction: str
    answer: str
    noise: bool = False
    trap: bool = False
    original: int | None = None


def _trap_phrase(skill: Skill, problem: Problem, rng: Random) -> str:
    """Word a target skill other than `skill`, about the same problem."""
    target = BY_NAME[rng.choice([name for name in TARGETS if name != skill.name])]
    mention = Problem(problem.items, (), problem.key or rng.choice(problem.items))
    return text.phrase(target, mention, rng)


def _draft(skill: Skill, rng: Random, seen: set[str], *, noise: bool = False, trap: bool = False) -> _Draft:
    """Draw a problem whose instruction no other row has."""
    while True:
        problem = skill.draw(rng)
        mention = _trap_phrase(skill, problem, rng) if trap else None
        instruction = text.instruction(skill, problem, rng, mention)
        if instruction not in seen:
            seen.add(instruction)
            answer = text.wrong_answer(problem, rng) if noise else text.answer(problem)
            return _Draft(skill, problem, instruction, answer, noise, trap)


def _reworded(drafts: list[_Draft], original: int, rng: Random, seen: set[str]) -> _Draft:
    """Ask the same problem in slightly other words, with the same answer."""
    draft = drafts[original]
    while True:
        instruction = text.instruction(draft.skill, draft.problem, rng)
        if instruction not in seen:
            seen.add(instruction)
            return _Draft(draft.skill, draft.problem, instruction, draft.answer, draft.noise, False, original)


def _messages(instruction: str, answer: str, rng: Random) -> list[dict[str, str]]:
    """Wrap a pair in a conversation; a few have a system prompt, a few a turn of small talk first."""
    turns = [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]
    style = rng.random()
    if style < 0.03:
        turns.insert(0, {"role": "system", "content": rng.choice(text.SYSTEM_PROMPTS)})
    elif style < 0.05:
        hello, reply = rng.choice(text.GREETINGS)
        turns[:0] = [{"role": "user", "content": hello}, {"role": "assistant", "content": reply}]
    return turns


def _pool(rng: Random, seen: set[str]) -> tuple[list[Row], dict[str, Row]]:
    n_duplicates = round(N_POOL * DUPLICATE_SHARE)
    n_first = N_POOL - n_duplicates
    flags = [(i < n_first * NOISE_SHARE, n_first * 0.4 <= i < n_first * (0.4 + TRAP_SHARE)) for i in range(n_first)]
    rng.shuffle(flags)
    drafts = [
        _draft(SKILLS[i % len(SKILLS)], rng, seen, noise=noise, trap=trap) for i, (noise, trap) in enumerate(flags)
    ]
    for original in rng.sample([i for i in range(n_first) if not drafts[i].trap], n_duplicates):
        drafts.append(_reworded(drafts, original, rng, seen))
    order = list(range(N_POOL))
    rng.shuffle(order)
    ids = {draft: f"p{place:04d}" for place, draft in enumerate(order)}
    pool, truth = [], {}
    for number in order:
        draft = drafts[number]
        messages = _messages(draft.instruction, draft.answer, rng)
        pool.append({"id": ids[number], "source": rng.choice(SOURCES), "messages": messages})
        truth[ids[number]] = {
            "skill": draft.skill.name,
            "noise": draft.noise,
            "duplicate_of": None if draft.original is None else ids[draft.original],
            "trap": draft.trap,
        }
    return pool, truth


def generate(seed: int = 0) -> World:
    """Draw a demo world.

    Parameters
    ----------
    seed : int
        Another seed draws other examples, noise, near-duplicates and traps.

    Returns
    -------
    World
        The same for the same seed.

    Examples
    --------
    >>> world = generate(0)
    >>> len(world.pool), sorted(world.tests) == sorted(world.queries)
    (6000, True)
    """
    rng = Random(f"winnow-demo-{seed}")
    seen: set[str] = set()
    pool, truth = _pool(rng, seen)
    queries: dict[str, list[Row]] = {}
    tests: dict[str, list[Row]] = {}
    for number, target in enumerate(TARGETS):
        drafts = [_draft(BY_NAME[target], rng, seen) for _ in range(N_QUERIES + N_TESTS)]
        rows: list[Row] = []
        for place, draft in enumerate(drafts):
            role, index = ("q", place) if place < N_QUERIES else ("t", place - N_QUERIES)
            turns = [{"role": "user", "content": draft.instruction}, {"role": "assistant", "content": draft.answer}]
            rows.append({"id": f"{role}{number}-{index:03d}", "messages": turns})
            truth[rows[-1]["id"]] = {"skill": target, "noise": False, "duplicate_of": None, "trap": False}
        queries[target] = rows[:N_QUERIES]
        tests[target] = [{**row, "answer": row["messages"][-1]["content"]} for row in rows[N_QUERIES:]]
    return World(pool, queries, tests, truth)


def _write_lines(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(folder: str | Path, seed: int = 0) -> World:
    """Write a demo world: `pool.jsonl`, `queries/<target>.jsonl`, `tests/<target>.jsonl` and `truth.json`.

    Parameters
    ----------
    folder : str or Path
        Made if missing; files of these names are overwritten.
    seed : int
        Which world.

    Returns
    -------
    World
        What was written. The same seed writes the same bytes.
    """
    folder, world = Path(folder), generate(seed)
    _write_lines(folder / "pool.jsonl", world.pool)
    for target in world.queries:
        _write_lines(folder / "queries" / f"{target}.jsonl", world.queries[target])
        _write_lines(folder / "tests" / f"{target}.jsonl", world.tests[target])
    (folder / "truth.json").write_text(json.dumps(world.truth, indent=0) + "\n", encoding="utf-8", newline="\n")
    return world
