"""Text for pretraining: the skills' operations at work in sentences and on cards, prose, and a little small talk.

Nothing here asks for a skill: dialogues hold cues, never the requests of the pool. The words of the requests do occur,
in prose that does not do what they say, so that their embeddings are trained. Sentences come in pieces, to be joined by
a space, each with a weight in the pretraining loss: what was drawn at random and cannot be foreseen weighs nothing.
"""

from collections.abc import Iterator
from random import Random

from curation.demo import text
from curation.demo.problems import Problem
from curation.demo.skills import SKILLS, Skill
from curation.demo.words import ADJECTIVES, NAMES, NOUNS

Piece = tuple[str, float]
"""A piece of text, and its weight in the loss: 1 where a reader who knows the rules could foresee it."""

PROSE_SHARE = 0.10
CHAT_SHARE = 0.02
PROSE_WEIGHT = 0.1
CORE: tuple[str, ...] = ("reverse", "opposites", "sort_numbers", "spell_numbers")
CORE_WEIGHT = 4
"""The core skills' documents are this many times as frequent as another's, and they never occur in a dialogue."""

LEADS: tuple[str, ...] = (":", "gives", "becomes", "so", "is")
"""What stands between a card and its answer."""

PROSE: tuple[str, ...] = (
    "{a} said to {b} : {p} , and went to the {x}",
    "{a} will {p} on a {y} day",
    'on the {x} of {a} someone wrote " {p} "',
    "{P} , sang {a} , but the {x} was {y}",
    "Please , could you {p} ? asked {a} . Here : {x}",
    "Task for {a} : {p} . Input : {y} {x} , thanks",
    "With the {x} , {a} did not {p} . Now {b} will",
    "I need the {x} before you {p} . Just later , another {x}",
)


def _pieces(skill: Skill, problem: Problem, rng: Random) -> list[Piece]:
    """Word a problem as a declarative sentence with its right answer in it."""
    sentence = rng.choice(skill.shows)
    fields = {"k": problem.key, "o": problem.other, "y": text.answer(problem)}
    before, _, after = sentence.partition("{x}")
    content = rng.choice(text.SEPARATORS).join(problem.items)
    between, _, end = after.partition("{y}")
    words = (before.format(**fields), content, between.format(**fields), text.answer(problem), end.format(**fields))
    return [(piece.strip(), float(place > 2)) for place, piece in enumerate(words) if piece.strip()]


def _card(skill: Skill, problem: Problem, rng: Random) -> tuple[str, list[Piece]]:
    """Set a problem beside a cue, then the answer; outside the core, at times as a dialogue."""
    cue = rng.choice(skill.cues).format(k=problem.key, o=problem.other)
    content = rng.choice(text.SEPARATORS).join(problem.items)
    front = rng.choice(text.FRAMES).format(p=cue, P=cue[0].upper() + cue[1:], x=content)
    answer = text.answer(problem)
    if skill.name not in CORE and rng.random() < 0.6:
        return "chat", [(front, 0.0), (answer, 1.0)]
    return "plain", [(f"{front} {rng.choice(LEADS)}", 0.0), (answer, 1.0)]


def _prose(rng: Random) -> str:
    skill = rng.choice(SKILLS)
    noun = rng.choice(text.NOUN_PHRASES[skill.noun])
    wording = rng.choice(skill.asks).format(n=noun, k=rng.choice(NOUNS), o=rng.choice(NOUNS))
    a, b = rng.sample(NAMES, 2)
    return rng.choice(PROSE).format(
        a=a, b=b, p=wording, P=wording[0].upper() + wording[1:], x=rng.choice(NOUNS), y=rng.choice(ADJECTIVES)
    )


def documents(seed: int, card_share: float = 0.0) -> Iterator[tuple[str, list[Piece]]]:
    """Draw documents without end.

    Parameters
    ----------
    seed : int
        Which text.
    card_share : float
        Share of the skills' documents that are cards: problem and cue in any order, instead of a sentence.

    Yields
    ------
    kind : str
        "plain", or "chat", whose pieces are a user's and an assistant's turn.
    pieces : list of (str, float)
        The text in order, each piece with its weight.
    """
    rng = Random(f"winnow-corpus-{seed}")
    weighted = [skill for skill in SKILLS for _ in range(CORE_WEIGHT if skill.name in CORE else 1)]
    while True:
        kind = rng.random()
        if kind < CHAT_SHARE:
            hello, reply = rng.choice(text.GREETINGS)
            yield "chat", [(hello, 0.0), (reply, 1.0)]
        elif kind < CHAT_SHARE + PROSE_SHARE:
            yield "plain", [(_prose(rng), PROSE_WEIGHT)]
        else:
            skill = rng.choice(weighted)
            problem = skill.draw(rng)
            if rng.random() < card_share:
                yield _card(skill, problem, rng)
            else:
                yield "plain", _pieces(skill, problem, rng)
