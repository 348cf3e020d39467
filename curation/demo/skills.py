"""The twenty skills of the demo world: each a rule, the ways to ask for it, and the ways plain text shows it at work.

A skill draws a problem (`draw`), and words it in two registers that share no wording:

- `asks`: imperative phrases, for the pool, the queries and the tests (`world`);
- `shows`: declarative sentences in which the same operation occurs, for the pretraining text (`corpus`).

winnow-tiny so knows the operations and has never been asked for them. That gap is what fine-tuning closes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from curation.demo import problems
from curation.demo.problems import Problem
from curation.demo.words import NUMBER_WORDS


@dataclass(frozen=True)
class Skill:
    """A rule with its wordings.

    Attributes
    ----------
    name : str
        Its name in the truth.
    draw : callable
        Draws a problem from a random generator.
    asks : tuple of str
        Imperative phrases; `{n}` is a word for the items, `{k}` and `{o}` the problem's key and other.
    shows : tuple of str
        Declarative sentences; `{x}` are the items, `{y}` the answer.
    cues : tuple of str
        Words from those sentences that name the operation on a card; `{k}` and `{o}` as above.
    noun : str
        What the items are called: "words", "numbers" or "facts".
    """

    name: str
    draw: Callable[[Random], Problem]
    asks: tuple[str, ...]
    shows: tuple[str, ...]
    cues: tuple[str, ...]
    noun: str = "words"


SKILLS: tuple[Skill, ...] = (
    Skill(
        "reverse",
        problems.over_words(lambda items: items[::-1]),
        (
            "reverse the {n}",
            "flip the {n}",
            "write the {n} backwards",
            "turn the {n} around",
            "give the {n} from end to start",
            "read the {n} from right to left",
            "mirror the {n}",
            "put the {n} back to front",
            "list the {n} in opposite order",
            "say the {n} the other way round",
        ),
        (
            "{x} echoes as {y}",
            "coming home along {x} one meets {y}",
            "the river runs {x} and the salmon swims {y}",
            "wind up {x} , unwind {y}",
            "retracing {x} gives {y}",
        ),
        ("echo", "salmon", "retracing"),
    ),
    Skill(
        "first_word",
        problems.over_words(lambda items: items[:1]),
        (
            "give the first of the {n}",
            "name the {n} at the start , one only",
            "which of the {n} comes first",
            "say the opening one",
        ),
        ("{x} begins at {y}", "the head of {x} is {y}", "the door to {x} is {y}"),
        ("head", "door", "begins"),
    ),
    Skill(
        "last_word",
        problems.over_words(lambda items: items[-1:]),
        (
            "give the last of the {n}",
            "name the {n} at the end , one only",
            "which of the {n} comes last",
            "say the final one",
        ),
        ("{x} ends at {y}", "the tail of {x} is {y}", "{x} stops with {y}"),
        ("tail", "ends", "stops"),
    ),
    Skill(
        "contains",
        problems.contains,
        ("is {k} one of the {n}", "tell whether {k} is there", "check the {n} for {k}", "say yes or no to {k} here"),
        ("{x} ; was {k} at home ? {y}", "{x} ; had anyone seen {k} ? {y}"),
        ("seen {k} ?", "home of {k} ?"),
    ),
    Skill(
        "count_words",
        problems.over_words(lambda items: (NUMBER_WORDS[len(items)],)),
        ("count the {n}", "how many {n} are there", "give the number of {n}", "say how long the row is"),
        ("{x} make a team of {y}", "{x} pay for {y}", "{x} need chairs for {y}"),
        ("team", "chairs", "pay"),
    ),
    Skill(
        "repeat_each",
        problems.over_words(lambda items: tuple(item for item in items[:3] for _ in range(2))),
        (
            "write each of the first three {n} twice",
            "double every one of the first three",
            "say the first three {n} two times each",
        ),
        ("{x} stutters {y}", "{x} seen by tired eyes : {y}", "{x} in pairs is {y}"),
        ("stutters", "tired eyes", "in pairs"),
    ),
    Skill(
        "remove_word",
        problems.remove_word,
        ("leave out {k}", "remove {k} from the {n}", "delete {k}", "drop {k} and keep the rest", "cross out {k}"),
        ("{x} without {k} is {y}", "once {k} had left {x} there were {y}", "{x} minus {k} : {y}"),
        ("without {k}", "minus {k}"),
    ),
    Skill(
        "replace_word",
        problems.replace_word,
        ("replace {k} with {o}", "put {o} where {k} is", "change {k} to {o}", "use {o} instead of {k}"),
        ("{o} took the place of {k} in {x} , so {y}", "{x} with {k} become {o} is {y}"),
        ("{k} become {o}", "{o} took the place of {k}"),
    ),
    Skill(
        "odd_one_out",
        problems.odd_one_out,
        (
            "find the odd one out",
            "which of the {n} does not belong",
            "name the intruder",
            "spot the one that does not fit the {n}",
            "find what is of another kind",
            "give the wrong one in the row",
            "tell which of the {n} is out of place",
            "pick the one unlike the rest",
            "which one should leave the {n}",
            "name the one of another class",
        ),
        ("among {x} the stranger is {y}", "{x} are one family but for {y}", "in {x} only {y} stands alone"),
        ("stranger", "stands alone", "but for"),
    ),
    Skill(
        "pick_category",
        problems.pick_category,
        (
            "keep only the {k}",
            "which of the {n} are {k}",
            "list the {k}",
            "pick out all {k}",
            "choose just the {k}",
            "give all the {k}",
            "find the {k} in the row",
            "leave only {k}",
            "write the {k} alone",
            "say which ones are {k}",
        ),
        ("the {k} in {x} are {y}", "from {x} the lover of {k} took {y}", "{x} holds these {k} : {y}"),
        ("lover of {k}", "holds {k}"),
    ),
    Skill(
        "opposites",
        problems.opposites,
        (
            "give the opposite of each of the {n}",
            "turn every one into its contrary",
            "write the antonyms of the {n}",
            "swap each for what it is not",
            "name the reverse meaning of each",
            "negate all the {n}",
            "say the contrary {n}",
            "provide antonyms",
            "exchange each of the {n} for its opposite",
            "list what would be the opposite {n}",
        ),
        (
            "what was {x} is now {y}",
            "never {x} , always {y}",
            "the sister is {x} , the brother {y}",
            "{x} by day , {y} by night",
            "not {x} but {y}",
        ),
        ("never", "not but", "sister and brother", "night"),
    ),
    Skill(
        "group_name",
        problems.group_name,
        (
            "name the kind of each of the {n}",
            "say what group each belongs to",
            "label the {n} by class",
            "give the type of every one",
            "tell the class of every one of the {n}",
            "give each its group",
            "write the group of each",
            "put each under its kind",
            "change the {n} to their kinds",
            "list what type each is",
        ),
        ("{x} count as {y}", "{x} were filed under {y}", "in the catalogue {x} stand under {y}"),
        ("count as", "filed", "catalogue"),
    ),
    Skill(
        "sort_numbers",
        problems.over_numbers(sorted),
        (
            "sort the {n}",
            "order the {n} from low to high",
            "arrange the {n} by size",
            "put the {n} in increasing order",
            "line the {n} up , small ones first",
            "rank the {n} upward",
            "list the {n} from least to most",
            "rearrange the {n} so that they grow",
            "write the {n} in rising order",
            "give the {n} ascending",
        ),
        (
            "{x} climb the stairs as {y}",
            "{x} on the ruler read {y}",
            "the houses {x} stand along the street as {y}",
            "{x} tidied are {y}",
            "the tide brings {x} as {y}",
        ),
        ("climb", "ruler", "tidied", "tide"),
        "numbers",
    ),
    Skill(
        "largest",
        problems.over_numbers(lambda numbers: (max(numbers),)),
        (
            "give the largest of the {n}",
            "which of the {n} is greatest",
            "find the maximum",
            "name the top one of the {n}",
        ),
        ("of {x} the giant is {y}", "{x} peaks at {y}", "no one in {x} beats {y}"),
        ("giant", "peaks"),
        "numbers",
    ),
    Skill(
        "smallest",
        problems.over_numbers(lambda numbers: (min(numbers),)),
        (
            "give the smallest of the {n}",
            "which of the {n} is least",
            "find the minimum",
            "name the bottom one of the {n}",
        ),
        ("of {x} the dwarf is {y}", "{x} bottoms out at {y}", "no one in {x} is under {y}"),
        ("dwarf", "bottoms"),
        "numbers",
    ),
    Skill(
        "next_number",
        problems.over_numbers(lambda numbers: tuple(number + 1 for number in numbers)),
        (
            "add one to each of the {n}",
            "raise every one by one",
            "give the number after each of the {n}",
            "increase the {n} by one",
            "count one on from each",
            "step the {n} up",
            "write what comes after each",
            "move every one up by one",
            "say the next of each of the {n}",
            "list the {n} plus one",
        ),
        ("a year on , {x} are {y}", "{x} tick over to {y}", "{x} are followed by {y}"),
        ("a year on", "tick over"),
        "numbers",
    ),
    Skill(
        "spell_numbers",
        problems.spell_numbers,
        (
            "spell the {n}",
            "write the {n} in letters",
            "give the {n} as words",
            "put the digits into words",
            "say the {n} in english",
            "convert the {n} to text",
            "express each of the {n} in writing",
            "read the {n} aloud",
            "change the figures to words",
            "name the {n} in full",
        ),
        (
            "{x} are called {y}",
            "the clock shows {x} , the bell says {y}",
            "{x} , that is , {y}",
            "on the cheque {x} stands as {y}",
            "the child counts {x} : {y}",
        ),
        ("called", "bell", "cheque", "child"),
        "numbers",
    ),
    Skill(
        "even_only",
        problems.even_only,
        (
            "keep only the even {n}",
            "drop the odd {n}",
            "which of the {n} divide by two",
            "pick out the even ones",
            "leave out the odd ones",
            "give only what two divides",
            "list the even {n}",
            "find the even {n}",
            "write the even ones alone",
            "say which are even",
        ),
        ("{x} shared by two leave {y}", "the couples in {x} are {y}", "{x} lose the odd to {y}"),
        ("couples", "shared by two"),
        "numbers",
    ),
    Skill(
        "who_has",
        problems.who_has,
        (
            "who is linked to {k}",
            "name the person with {k}",
            "whose is {k}",
            "find the owner of {k}",
            "say who to ask for {k}",
            "tell me the keeper of {k}",
            "to whom does {k} belong",
            "give the name that goes with {k}",
            "identify the holder of {k}",
            "which person do i see about {k}",
        ),
        (
            "{x} , so {k} is in the hands of {y}",
            "{x} ; {k} lies at the house of {y}",
            "{x} ; {k} came with {y}",
            "{x} and {k} was carried by {y}",
        ),
        ("hands with {k}", "carried {k}"),
        "facts",
    ),
    Skill(
        "what_has",
        problems.what_has,
        (
            "what goes with {k}",
            "name the thing of {k}",
            "what is in the bag of {k}",
            "find what {k} got",
            "say what to ask {k} for",
        ),
        ("{x} , so in the hands of {k} is {y}", "{x} ; at the house of {k} lies {y}", "{x} ; {k} came with {y}"),
        ("house of {k}", "hands of {k}"),
        "facts",
    ),
)
"""All skills. The order is part of the seeded draw: append, do not reorder."""

BY_NAME: dict[str, Skill] = {skill.name: skill for skill in SKILLS}

TARGETS: tuple[str, ...] = ("opposites", "spell_numbers", "group_name", "next_number")
"""The skills that have a query set and a test set."""
