"""Wording: how a problem becomes an instruction in the chat register, and what a wrong answer looks like."""

from collections.abc import Sequence
from random import Random

from curation.demo.problems import Problem
from curation.demo.skills import Skill
from curation.demo.words import ADJECTIVES, NAMES, NOUNS

NOUN_PHRASES: dict[str, tuple[str, ...]] = {
    "words": ("words", "items", "entries", "terms", "list", "row"),
    "numbers": ("numbers", "values", "figures", "list", "row", "entries"),
    "facts": ("facts", "notes", "lines"),
}

FRAMES: tuple[str, ...] = (
    "{P}: {x}",
    "{P}. {x}",
    "{P} | {x}",
    "{x}\n{P}.",
    "{x}. {P}.",
    "Please {p}: {x}",
    "Here: {x}. Now {p}.",
    "Could you {p}? {x}",
    "I need you to {p}. {x}",
    "With {x}, {p}.",
    "Task: {p}. Input: {x}",
    "{P}, thanks. {x}",
)

TRAP_FRAMES: tuple[str, ...] = (
    "Do not {t}. Just {p}: {x}",
    "{x}. Another will {t}; you {p}.",
    "Before I {t}, {p}: {x}",
    "{P}: {x}. Later I will {t}.",
    "{P}, and do not {t}. {x}",
)
"""Frames that also hold the wording of a target skill, which is not what is asked."""

SEPARATORS: tuple[str, ...] = (", ", " ", "; ", " / ", " and ")

SYSTEM_PROMPTS: tuple[str, ...] = (
    "You are a careful helper.",
    "Answer briefly.",
    "Answer with the result and nothing else.",
)

GREETINGS: tuple[tuple[str, str], ...] = (
    ("Hello!", "Hello, what can I do?"),
    ("Are you there?", "Yes, I am here."),
    ("Good morning.", "Good morning to you."),
)


def phrase(skill: Skill, problem: Problem, rng: Random) -> str:
    """Word the request of a skill for a problem, in the imperative."""
    noun = rng.choice(NOUN_PHRASES[skill.noun])
    return rng.choice(skill.asks).format(n=noun, k=problem.key, o=problem.other)


def instruction(skill: Skill, problem: Problem, rng: Random, trap: str | None = None) -> str:
    """Word a problem as an instruction.

    Parameters
    ----------
    skill : Skill
        What is asked.
    problem : Problem
        What is given.
    rng : Random
        Chooses phrase, frame and separator.
    trap : str, optional
        A target skill's phrase, to be mentioned but not asked.

    Returns
    -------
    str
    """
    asked = phrase(skill, problem, rng)
    frame = rng.choice(FRAMES if trap is None else TRAP_FRAMES)
    content = rng.choice(SEPARATORS).join(problem.items)
    return frame.format(p=asked, P=asked[0].upper() + asked[1:], x=content, t=trap)


def answer(problem: Problem) -> str:
    """Write the right answer of a problem."""
    return " ".join(problem.answer)


def wrong_answer(problem: Problem, rng: Random) -> str:
    """Write a wrong or garbled answer: random words, shuffled letters, a broken order, or a refusal.

    Parameters
    ----------
    problem : Problem
        The problem that is answered wrongly.
    rng : Random
        Chooses the way to go wrong.

    Returns
    -------
    str
        Never the right answer.
    """
    right = answer(problem)
    while True:
        kind = rng.choice(("words", "letters", "order", "refusal"))
        if kind == "words":
            bank: Sequence[str] = rng.choice((NOUNS, ADJECTIVES, NAMES, [str(number) for number in range(100)]))
            wrong = " ".join(rng.sample(bank, max(2, len(problem.answer))))
        elif kind == "letters":
            letters = list(right)
            rng.shuffle(letters)
            wrong = "".join(letters).strip()
        elif kind == "order":
            words = [*problem.items, *problem.answer]
            wrong = " ".join(rng.choice(words) for _ in range(max(2, len(problem.answer))))
        else:
            wrong = rng.choice(("I do not know.", "Sorry, no.", "No idea, ask another day.", "See above."))
        if wrong and wrong != right:
            return wrong
