"""The demo world: the same seed is the same bytes, the planted shares are there, and nothing tells the truth."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from curation.demo import text, world
from curation.demo.skills import BY_NAME, SKILLS, TARGETS
from curation.demo.words import OPPOSITE


@pytest.fixture(scope="module")
def demo() -> world.World:
    return world.generate(0)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _instructions(rows: list[world.Row]) -> list[str]:
    return [row["messages"][-2]["content"] for row in rows]


def _problem_words(instruction: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", instruction.lower()))


def test_same_seed_writes_same_bytes_in_another_process(tmp_path: Path) -> None:
    world.write(tmp_path / "here", 7)
    code = "import sys; from curation.demo import world; world.write(sys.argv[1], 7)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    here, there = _files(tmp_path / "here"), _files(tmp_path / "there")
    assert here == there
    assert set(here) == {"pool.jsonl", "truth.json"} | {
        f"{role}/{target}.jsonl" for role in ("queries", "tests") for target in TARGETS
    }


def test_another_seed_is_another_world(demo: world.World) -> None:
    other = world.generate(1)
    shared = set(_instructions(demo.pool)) & set(_instructions(other.pool))
    assert len(shared) < 0.02 * world.N_POOL
    noisy = [{row_id for row_id, facts in w.truth.items() if facts["noise"]} for w in (demo, other)]
    assert noisy[0] != noisy[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_shares(seed: int) -> None:
    drawn = world.generate(seed)
    facts = [drawn.truth[row["id"]] for row in drawn.pool]
    assert len(facts) == world.N_POOL
    assert sum(fact["noise"] for fact in facts) / len(facts) == pytest.approx(world.NOISE_SHARE, abs=0.01)
    assert sum(fact["duplicate_of"] is not None for fact in facts) == round(world.N_POOL * world.DUPLICATE_SHARE)
    assert sum(fact["trap"] for fact in facts) / len(facts) == pytest.approx(world.TRAP_SHARE, abs=0.01)
    counts = Counter(fact["skill"] for fact in facts)
    assert set(counts) == set(BY_NAME)
    assert max(counts.values()) < 1.15 * min(counts.values())


def test_duplicates_repeat_the_problem_and_the_answer(demo: world.World) -> None:
    rows = {row["id"]: row for row in demo.pool}
    for row_id, fact in demo.truth.items():
        if fact["duplicate_of"] is not None:
            row, original = rows[row_id], rows[fact["duplicate_of"]]
            assert demo.truth[original["id"]]["duplicate_of"] is None
            assert demo.truth[original["id"]]["skill"] == fact["skill"]
            assert row["messages"][-1] == original["messages"][-1]
            assert row["messages"][-2] != original["messages"][-2]


def test_rows_do_not_name_their_skill(demo: world.World) -> None:
    rows = [*demo.pool, *(row for split in (demo.queries, demo.tests) for rows in split.values() for row in rows)]
    assert {row["id"] for row in rows} == set(demo.truth)
    for row in rows:
        assert set(row) <= {"id", "source", "messages", "answer"}
        assert all(set(turn) == {"role", "content"} for turn in row["messages"])
    share = Counter((row["source"], demo.truth[row["id"]]["skill"]) for row in demo.pool)
    assert len(share) == len(world.SOURCES) * len(SKILLS)
    assert max(share.values()) < 0.3 * world.N_POOL / len(SKILLS)
    half = [Counter(demo.truth[row["id"]]["skill"] for row in part) for part in (demo.pool[:3000], demo.pool[3000:])]
    assert all(min(counts.values()) > 100 for counts in half)


def test_queries_and_tests_are_clean_and_apart_from_the_pool(demo: world.World) -> None:
    pool = set(map(_problem_words, _instructions(demo.pool)))
    seen: set[str] = set()
    for target in TARGETS:
        assert len(demo.queries[target]) == 16
        assert len(demo.tests[target]) >= 100
        held_out = set(map(_problem_words, _instructions(demo.queries[target] + demo.tests[target])))
        assert len(held_out) == 16 + len(demo.tests[target])
        assert not held_out & pool
        assert not held_out & seen
        seen |= held_out
        assert all(row["answer"] == row["messages"][-1]["content"] for row in demo.tests[target])


def test_traps_hold_a_target_wording_but_ask_for_another_skill() -> None:
    rng = Random(0)
    skill = BY_NAME["first_word"]
    problem = skill.draw(rng)
    trapped = text.instruction(skill, problem, rng, trap="reverse the list")
    assert "reverse the list" in trapped
    assert text.answer(problem) == problem.items[0]


def test_pool_has_system_prompts_and_turns_of_small_talk(demo: world.World) -> None:
    shapes = Counter(tuple(turn["role"] for turn in row["messages"]) for row in demo.pool)
    assert set(shapes) == {
        ("user", "assistant"),
        ("system", "user", "assistant"),
        ("user", "assistant", "user", "assistant"),
    }
    assert shapes["user", "assistant"] > 0.9 * world.N_POOL


@pytest.mark.parametrize(
    ("skill", "rule"),
    [
        ("reverse", lambda items: items[::-1]),
        ("opposites", lambda items: tuple(OPPOSITE[item] for item in items)),
        ("sort_numbers", lambda items: tuple(sorted(items, key=int))),
    ],
)
def test_answers_are_right(skill: str, rule: object) -> None:
    rng = Random(3)
    for _ in range(50):
        problem = BY_NAME[skill].draw(rng)
        assert callable(rule)
        assert problem.answer == rule(problem.items)


def test_the_owner_of_a_thing_is_in_its_fact() -> None:
    rng = Random(3)
    for name, place in (("who_has", 0), ("what_has", 2)):
        for _ in range(50):
            problem = BY_NAME[name].draw(rng)
            (fact,) = [fact for fact in problem.items if problem.key in fact.split()]
            assert problem.answer == (fact.split()[place],)


def test_wrong_answers_are_wrong() -> None:
    rng = Random(0)
    for skill in SKILLS:
        for _ in range(50):
            problem = skill.draw(rng)
            assert text.wrong_answer(problem, rng) != text.answer(problem)


def test_world_and_skills_import_no_torch() -> None:
    code = "import sys; import curation.demo.world, curation.demo.corpus; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
