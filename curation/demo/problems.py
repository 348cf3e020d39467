"""The problems of the demo world: what each skill's rule is applied to, and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from curation.demo.words import ADJECTIVES, CATEGORIES, NAMES, NOUNS, NUMBER_WORDS, OPPOSITE


@dataclass(frozen=True)
class Problem:
    """One problem: what is given, and the right answer.

    Attributes
    ----------
    items : tuple of str
        What is given, in order.
    answer : tuple of str
        The words of the right answer, in order.
    key : str
        The word that the question turns on (a category, a name, a word to remove); empty for most skills.
    other : str
        A second such word; empty for most skills.
    """

    items: tuple[str, ...]
    answer: tuple[str, ...]
    key: str = ""
    other: str = ""


def _words(rng: Random, low: int = 3, high: int = 5) -> tuple[str, ...]:
    """Draw distinct words: mostly nouns, at times others, so that content does not tell the skill."""
    kind = rng.random()
    if kind < 0.72:
        bank: Sequence[str] = NOUNS
    elif kind < 0.88:
        bank = ADJECTIVES
    else:
        bank = [str(number) for number in range(100)]
    return tuple(rng.sample(bank, rng.randint(low, high)))


def _numbers(rng: Random, low: int = 3, high: int = 4, top: int = 99) -> tuple[int, ...]:
    return tuple(rng.sample(range(top + 1), rng.randint(low, high)))


def _text(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(number) for number in numbers)


def over_words(rule: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Callable[[Random], Problem]:
    """Make a draw of three to five words, answered by a rule over them."""

    def draw(rng: Random) -> Problem:
        items = _words(rng)
        return Problem(items, rule(items))

    return draw


def over_numbers(rule: Callable[[tuple[int, ...]], Sequence[int]]) -> Callable[[Random], Problem]:
    """Make a draw of three or four numbers, answered by a rule over them."""

    def draw(rng: Random) -> Problem:
        numbers = _numbers(rng, top=99 if rng.random() < 0.7 else 20)
        return Problem(_text(numbers), _text(rule(numbers)))

    return draw


def remove_word(rng: Random) -> Problem:
    """Which words are left without the key."""
    items = _words(rng)
    key = rng.choice(items)
    return Problem(items, tuple(item for item in items if item != key), key)


def replace_word(rng: Random) -> Problem:
    """What the list is with another word in the place of the key."""
    items = _words(rng, 3, 4)
    key, other = rng.choice(items), rng.choice([noun for noun in NOUNS if noun not in items])
    return Problem(items, tuple(other if item == key else item for item in items), key, other)


def contains(rng: Random) -> Problem:
    """Whether the key is among the words."""
    items = _words(rng)
    if rng.random() < 0.5:
        return Problem(items, ("yes",), rng.choice(items))
    return Problem(items, ("no",), rng.choice([noun for noun in NOUNS if noun not in items]))


def odd_one_out(rng: Random) -> Problem:
    """Which word is of another category."""
    home, away = rng.sample(list(CATEGORIES), 2)
    odd = rng.choice(CATEGORIES[away])
    items = [*rng.sample(CATEGORIES[home], rng.randint(3, 4)), odd]
    rng.shuffle(items)
    return Problem(tuple(items), (odd,))


def pick_category(rng: Random) -> Problem:
    """Which words are of the key category."""
    home, *away = rng.sample(list(CATEGORIES), 3)
    kept = set(rng.sample(CATEGORIES[home], 2))
    items = [*sorted(kept), *(rng.choice(CATEGORIES[category]) for category in away)]
    rng.shuffle(items)
    return Problem(tuple(items), tuple(item for item in items if item in kept), home)


def opposites(rng: Random) -> Problem:
    """What the opposites are."""
    items = tuple(rng.sample(ADJECTIVES, rng.randint(2, 4)))
    return Problem(items, tuple(OPPOSITE[item] for item in items))


def group_name(rng: Random) -> Problem:
    """What the categories are."""
    groups = tuple(rng.choice(list(CATEGORIES)) for _ in range(rng.randint(2, 3)))
    return Problem(tuple(rng.choice(CATEGORIES[group]) for group in groups), groups)


def spell_numbers(rng: Random) -> Problem:
    """How the numbers up to twenty are written in words."""
    numbers = _numbers(rng, 3, 4, top=20)
    return Problem(_text(numbers), tuple(NUMBER_WORDS[number] for number in numbers))


def even_only(rng: Random) -> Problem:
    """Which numbers are even."""
    numbers = rng.sample(range(0, 100, 2), 2) + rng.sample(range(1, 100, 2), 2)
    rng.shuffle(numbers)
    return Problem(_text(numbers), _text([number for number in numbers if number % 2 == 0]))


def _facts(rng: Random) -> tuple[tuple[str, ...], str, str]:
    """Draw who has what; return the facts, and one owner with the thing owned."""
    n_facts = rng.randint(3, 4)
    owners, things = rng.sample(NAMES, n_facts), rng.sample(NOUNS, n_facts)
    verb, which = rng.choice(("has", "keeps", "owns", "holds")), rng.randrange(n_facts)
    facts = tuple(f"{owner} {verb} {thing}" for owner, thing in zip(owners, things, strict=True))
    return facts, owners[which], things[which]


def who_has(rng: Random) -> Problem:
    """Who has the key."""
    facts, owner, thing = _facts(rng)
    return Problem(facts, (owner,), thing)


def what_has(rng: Random) -> Problem:
    """What the key has."""
    facts, owner, thing = _facts(rng)
    return Problem(facts, (thing,), owner)
