"""Each tag is earned by what it names and by nothing near it; tags never change the rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.config import DatasetConfig
from curation.data.quality import check, guess_language, near_duplicates, row_tags
from curation.data.rows import Example, Message
from curation.data.validation import load
from curation.progress import Silent


def dataset(folder: Path, *pairs: tuple[str, str]) -> Path:
    folder.mkdir()
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": p, "response": r}) + "\n" for p, r in pairs))
    load(DatasetConfig(path=str(path)), folder, Silent(), role="pool")
    return folder


def tags(folder: Path, **against: Path) -> list[list[str]]:
    """Tags row by row, and a check that the counts tell the same."""
    before = (folder / "rows.parquet").read_bytes()
    counts = check(folder, Silent(), against=against)
    assert (folder / "rows.parquet").read_bytes() == before
    stored = {row["id"]: row["tags"] for row in pq.read_table(folder / "tags.parquet").to_pylist()}
    found = [stored.get(id, []) for id in pq.read_table(folder / "rows.parquet")["id"].to_pylist()]
    flat = [tag for row in found for tag in row]
    assert counts == {tag: flat.count(tag) for tag in set(flat)}
    return found


STORY = (
    "Name the three largest rivers that flow through the city of Prague and say in one sentence which of the two you "
    "would rather swim in during a hot summer, and why that is the case."
)
PLAIN = "The Vltava is the only large one, so that is the one that I would take."


def test_exact_and_near_duplicates_tag_the_later_row(tmp_path: Path) -> None:
    folder = dataset(
        tmp_path / "pool",
        (STORY, PLAIN),
        ("Something else entirely, about the price of bread in a small town.", "It went up by a tenth."),
        (STORY, PLAIN),
        (STORY.replace("Prague", "Brno"), PLAIN),
        (STORY.upper().replace(",", " ;"), PLAIN),
        (
            STORY,
            "A different answer: neither of them, for I can't swim, and the water is far too cold for me in any year.",
        ),
    )
    assert tags(folder) == [[], [], ["duplicate"], ["near_duplicate"], ["near_duplicate"], []]


def test_near_duplicates_equal_a_plain_comparison_of_all_pairs() -> None:
    """Planted families with a share of equal hashes well above or below the line."""
    rng = np.random.default_rng(0)
    rows: list[np.ndarray] = []
    expected = []
    for _ in range(200):
        original = rng.integers(0, 2**32, 64, dtype=np.uint32)
        rows.append(original)
        for changed in (4, 8, 40):
            copy = original.copy()
            where = rng.choice(64, changed, replace=False)
            copy[where] = rng.integers(0, 2**32, changed, dtype=np.uint32)
            if changed < 20:
                expected.append(len(rows))
            rows.append(copy)
    signatures = np.stack(rows)
    agreement = (signatures[:, None] == signatures[None]).mean(axis=2)  # (n_rows, n_rows)
    assert expected == np.flatnonzero(np.tril(agreement >= 0.7, -1).any(axis=1)).tolist()
    assert near_duplicates(signatures) == expected


def test_a_row_that_only_shares_a_band_does_not_hide_a_near_duplicate() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2**32, (2, 64), dtype=np.uint32)
    third = second.copy()
    third[4::4] += 1  # every band but the first: 15 of 64 hashes differ
    first[:4] = second[:4]
    assert near_duplicates(np.stack([first, second, third])) == [2]


LONG_PROBLEM = (
    "Mira jogs every morning. She jogs five miles per hour. If she jogs for two hours every morning, how many miles "
    "can she jog for five days?"
)


@pytest.mark.parametrize(
    ("prompt", "answer", "held"),
    [
        (LONG_PROBLEM, "50", True),
        ("Solve this:\n\n" + LONG_PROBLEM.upper().replace(".", " —"), "fifty", True),
        ("What is the answer?", f"Question: {LONG_PROBLEM} Answer: 50", True),
        (LONG_PROBLEM.replace("Mira", "Nora"), "50", True),
        (LONG_PROBLEM[:60] + " Where does she jog to, and what does she see there on her way back home?", "x", False),
        ("Tell me, what colour is the Moon?", "grey", True),
        ("What colour is the Sun?", "white", False),
        ("2+2=?", "4", True),
        ("2+2=? And then?", "4", False),
        ("???", "4", True),
        ("????", "4", False),
    ],
)
def test_prompts_of_other_sets_are_found(tmp_path: Path, prompt: str, answer: str, held: bool) -> None:
    tests = dataset(
        tmp_path / "tests", (LONG_PROBLEM, "50"), ("What colour is the moon?", "grey"), ("2 + 2 = ?", "4"), ("???", "x")
    )
    pool = dataset(tmp_path / "pool", (prompt, answer))
    ((*found,),) = tags(pool, tests=tests)
    assert ("contains_tests" in found) is held
    assert "contains_tests" not in tags(pool)[0]


def test_the_template_of_a_set_is_no_contamination(tmp_path: Path) -> None:
    template = (
        "You are given a question about sums and have to write the result as one number without any words. Input: "
    )
    numbers = [("seven", "nine"), ("two", "eleven"), ("forty", "six")]
    queries = dataset(
        tmp_path / "queries",
        *((f"{template}what are {a} apples and {b} apples taken together?", "x") for a, b in numbers),
    )
    pool = dataset(
        tmp_path / "pool",
        (template + "what are fifty pears and ninety plums minus one?", "one hundred"),
        (template + "what are two apples and eleven apples taken together?", "thirteen"),
    )
    assert tags(pool, queries=queries) == [[], ["contains_queries"]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("yes", ["short_answer"]),
        ("Yes, it is.", []),
        ("...", ["short_answer", "blank_answer"]),
        ("N/A", ["short_answer", "blank_answer"]),
        ("-----", ["blank_answer"]),
        ("I'm sorry, but I can't help with that.", ["refusal"]),
        ("I’m sorry, but as an AI language model I have no body.", ["refusal"]),
        ("As an AI, I don't have opinions.", ["refusal"]),
        ("I cannot assist with this request.", ["refusal"]),
        ("I'm sorry to hear that; here is what you can do.", []),
        ("I cannot find a larger prime below ten than seven.", []),
        ("She said: I'm sorry, but I can't help.", []),
        ("word " * 2000, ["long"]),
    ],
)
def test_answers(answer: str, expected: list[str]) -> None:
    assert row_tags(Example("id", (Message("user", "Is it?"), Message("assistant", answer)))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the capital of France? It is Paris, as everybody knows.", ""),
        ("Was ist die Hauptstadt von Frankreich? Es ist nicht Lyon, und das ist auch gut so.", "words_de"),
        ("Quelle est la capitale de la France ? Ce n'est pas Lyon, et les gens le savent.", "words_fr"),
        ("¿Cuál es la capital de Francia? No es Lyon, y por eso la gente se va para el norte.", "words_es"),
        ("Jak se jmenuje hlavní město, které je na Vltavě? Je to Praha, ale ne že by to bylo nutné.", "words_cs"),
        ("Какая столица у Франции? Париж.", "script_cyrillic"),
        ("フランスの首都はどこですか。", "script_kana"),
        ("法国的首都是哪里？巴黎。", "script_han"),
        ("What does the word Москва mean in the language of the people?", ""),
        ("def f(x): return x", ""),
        ("12345", ""),
    ],
)
def test_language_guesses(text: str, expected: str) -> None:
    assert guess_language(text) == expected


def test_the_real_pool_holds_no_query_and_a_planted_one_is_found(shared: Path, tmp_path: Path) -> None:
    data = shared / "data"
    tasks = {}
    for task in ("gsm8k", "nat_inst_task835"):
        for kind in ("queries", "tests"):
            folder = tmp_path / f"{kind}_{task}"
            folder.mkdir()
            load(DatasetConfig(path=str(data / kind / f"{task}.jsonl")), folder, Silent(), role=kind)
            tasks[folder.name] = folder
    pool = tmp_path / "pool"
    pool.mkdir()
    load(DatasetConfig(path=str(data / "pool_small.jsonl.gz")), pool, Silent(), role="pool")
    counts = check(pool, Silent(), against=tasks)
    assert not [tag for tag in counts if tag.startswith("contains")]
    assert 20 < counts["near_duplicate"] < 200  # templates of p3 and natural instructions
    problems = [json.loads(line)["prompt"] for line in (data / "tests" / "gsm8k.jsonl").open(encoding="utf-8")]
    planted = dataset(tmp_path / "planted", *((f"PLEASE SOLVE!\n{p.upper()}", "no") for p in problems))
    found = tags(planted, tests=tasks["tests_gsm8k"])
    assert sum("contains_tests" in row for row in found) == len(problems)
