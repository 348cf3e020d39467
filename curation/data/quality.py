"""Tags that say what may be wrong with a row; they filter and count, and never delete anything.

| tag | meaning |
|---|---|
| ``duplicate`` | the same messages as an earlier row |
| ``near_duplicate`` | Jaccard of at least 0.7 (word 3-shingles, estimated by MinHash) with an earlier row |
| ``contains_<set>`` | holds the prompt of a row of another set (queries, tests) |
| ``short_answer``, ``long`` | an answer of at most 3 characters; over 8,000 characters in all |
| ``blank_answer`` | an answer without any letter or digit, or "n/a" and its like |
| ``refusal`` | an answer that begins as refusals do |
| ``script_<name>`` | most letters are of that script; Han counts as Chinese and Japanese alike |
| ``words_<language>`` | its commonest function words are more often of that language than English |

The last two are cheap guesses, named by what they look at: no language model is asked. Contamination compares words,
case folded, without punctuation (after Brown et al. 2020, app. C, who take 13-grams; here 8): a prompt of 13 words or
more counts as held when 0.6 of its 8-shingles are in the row, one of 5 to 12 words when it stands there whole, a
shorter one when it is a whole user turn. Shingles that more than a tenth of the other set shares are its template and
do not count. The same task in other words is not found.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from curation.data.rows import Example
from curation.data.validation import ROWS, example_from_row, rows_from_parquet
from curation.progress import Progress

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
TAGS = "tags.parquet"
NEAR = 0.7  # Jaccard from which two rows are near-duplicates
_HASHES = 64
_BANDS = 16  # of 4 hashes: two rows of Jaccard 0.7 share one with probability 0.99
_SHINGLE = 3
_OVERLAP, _SHARE, _WHOLE = 8, 0.6, 5
_SHORT, _LONG = 3, 8_000
_BATCH = 1_000

_BLANK = {"n/a", "na", "null", "nan", "todo", "no answer", "no response", "empty"}
_REFUSAL = re.compile(
    r"(i'?m|i am) (very |so |really )?sorry,? (but )?(as an ai|i (can't|cannot|can not|am not able|am unable|won't))"
    r"|(sorry|unfortunately|i apologi[sz]e),? (but )?i (can't|cannot|can not|am not able|am unable|won't)"
    r"|as an ai\b|as a (large )?language model"
    r"|i (can't|cannot|can not|am unable to|am not able to|won't) (help|assist|answer|provide|fulfil|comply|do that)"
)
_SCRIPTS = {
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u077f",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
    "kana": "\u3040-\u30ff",
    "han": "\u3400-\u9fff",
}
_SCRIPT_LETTERS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_FUNCTION_WORDS = {
    "en": "the and of to a in is that for it with as was on are this be or from what",
    "de": "der die das und ist nicht ein eine zu den mit von für auf im sich es dem auch wie",
    "fr": "le la les et est des une un que dans pour qui sur pas au du avec ce sont vous",
    "es": "el la los las y es de que en un una por con para del se no su como más",
    "it": "il la che di e è un una per non con del della sono gli le come più nel si",
    "pt": "o a os as e é de que em um uma para com não do da por mais como se",
    "nl": "de het een en van is dat niet op te met voor zijn aan er als ook bij naar wat",
    "pl": "i w na nie się jest z do to że jak od po za przez są co czy ale dla",
    "cs": "a se na je v že to s z do jako by pro jsou ale nebo které který jak být",
}
_FUNCTIONS = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}
_WORD = re.compile(r"[^\W_]+")


def check(folder: Path, progress: Progress, *, against: Mapping[str, Path] | None = None) -> dict[str, int]:
    """Tag the rows of a data set and write `tags.parquet` (id, tags) beside its `rows.parquet`.

    Parameters
    ----------
    folder : Path
        Folder of a data set, as `validation.load` filled it.
    progress : Progress
        Told of every row.
    against : mapping of str to Path, optional
        Name of another set (``"queries"``, ``"tests"``) → its folder; rows that hold its prompts are tagged
        ``contains_<name>``.

    Returns
    -------
    dict of str to int
        Tag → rows that have it, most frequent first. Rows without tags are not in `tags.parquet`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids: list[str] = []
    tags: list[list[str]] = []
    signatures: list[np.ndarray] = []
    others = {name: _Prompts(_examples(path)) for name, path in (against or {}).items()}
    progress.start("Check rows", pq.read_metadata(folder / ROWS).num_rows, "rows")
    for batch in _batches(_examples(folder)):
        turns = [_turns(example) for example in batch]
        signatures.append(_signatures([list(itertools.chain(*own)) for own in turns]))
        for example, own in zip(batch, turns, strict=True):
            ids.append(example.id)
            held = [f"contains_{name}" for name, prompts in others.items() if any(prompts.found(example, own))]
            tags.append(row_tags(example) + held)
        progress.advance(len(batch))
    for row in near_duplicates(np.concatenate(signatures)):
        if "duplicate" not in tags[row]:
            tags[row].append("near_duplicate")
    tagged = [(id, row) for id, row in zip(ids, tags, strict=True) if row]
    schema = pa.schema([("id", pa.string()), ("tags", pa.list_(pa.string()))])
    table = pa.table([[id for id, _ in tagged], [row for _, row in tagged]], schema=schema)
    part = folder / (TAGS + ".part")
    pq.write_table(table, part, compression="zstd")
    part.replace(folder / TAGS)
    return dict(Counter(tag for _, row in tagged for tag in row).most_common())


def row_tags(example: Example) -> list[str]:
    """Tags that a row earns by itself; `duplicate` is read off the occurrence number in its id."""
    answer = example.answer.strip()
    low = answer.casefold().replace("’", "'")
    found = {
        "duplicate": "-" in example.id,
        "short_answer": bool(answer) and len(answer) <= _SHORT,
        "long": len(example.text) > _LONG,
        "blank_answer": bool(answer) and (low in _BLANK or not any(c.isalnum() for c in answer)),
        "refusal": _REFUSAL.match(low) is not None,
    }
    language = guess_language(" ".join(m.content for m in example.messages))
    return [tag for tag, true in found.items() if true] + ([language] if language else [])


def guess_language(text: str) -> str:
    """Return ``script_<name>``, ``words_<language>``, or nothing for what looks English or like no language."""
    text = text[:_LONG]
    if not text.isascii():
        letters = sum(c.isalpha() for c in text)
        found = {name: len(pattern.findall(text)) for name, pattern in _SCRIPT_LETTERS.items()}
        name, count = max(found.items(), key=lambda item: item[1])
        if 2 * count > letters:
            return f"script_{name}"
    words = Counter(text.casefold().split())
    counts = {language: sum(words[w] for w in known & words.keys()) for language, known in _FUNCTIONS.items()}
    english = counts.pop("en")
    language, count = max(counts.items(), key=lambda item: item[1])
    return f"words_{language}" if count >= 3 and count >= 0.1 * words.total() and count > 2 * english else ""


def near_duplicates(signatures: np.ndarray) -> list[int]:
    """Return the rows that nearly repeat an earlier one.

    Rows that agree in a whole band of their signatures are compared with the first of those and with the one before;
    bands are found by sorting, so memory is one signature (256 bytes) and a few numbers a row.

    Parameters
    ----------
    signatures : ndarray of uint32, shape (n_rows, 64)
        MinHash signatures.
    """
    import numpy as np

    n = len(signatures)
    near = np.zeros(n, dtype=bool)
    width = signatures.shape[1] // _BANDS
    for band in range(_BANDS):
        pair = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width]).view(np.uint64)  # (n_rows, 2)
        keys = pair[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ pair[:, 1]
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(group, kind="stable")
        again = group[order[1:]] == group[order[:-1]]
        later, before = order[1:][again], order[:-1][again]
        for earlier in (first[group[later]], before):
            for start in range(0, len(later), _BATCH):
                rows, others = later[start : start + _BATCH], earlier[start : start + _BATCH]
                alike = (signatures[rows] == signatures[others]).mean(axis=1)
                near[rows[alike >= NEAR]] = True
    return [int(row) for row in np.flatnonzero(near)]


class _Prompts:
    """The prompts of another set, ready to be looked for."""

    def __init__(self, examples: Iterable[Example]) -> None:
        prompts = {_prompt(example) for example in examples}
        words = {tuple(_split(prompt)) for prompt in prompts}
        self._exact = words | {(prompt.strip(),) for prompt in prompts if not _split(prompt)}
        limit = max(1, len(words) // 10)
        shared: Counter[tuple[str, ...]] = Counter()
        for prompt in words:
            shared.update(_shingles(prompt, _OVERLAP))
        self._whole: dict[int, set[tuple[str, ...]]] = defaultdict(set)  # length → prompts
        self._rows_of: dict[tuple[str, ...], list[int]] = defaultdict(list)  # shingle → numbers of prompts
        self._long: list[tuple[tuple[str, ...], int]] = []  # prompt, number of its shingles
        for prompt in sorted(words):
            if _WHOLE <= len(prompt) < _WHOLE + _OVERLAP:
                self._whole[len(prompt)].add(prompt)
            elif len(prompt) >= _WHOLE + _OVERLAP:
                own = {s for s in _shingles(prompt, _OVERLAP) if shared[s] <= limit}
                for shingle in own:
                    self._rows_of[shingle].append(len(self._long))
                self._long.append((prompt, len(own)))

    def found(self, example: Example, turns: list[list[str]]) -> Iterator[tuple[str, ...]]:
        """Yield the prompts, as words, that a row holds; `turns` are the words of its turns."""
        words = list(itertools.chain(*turns))
        for n, known in self._whole.items():
            yield from known & _shingles(words, n)
        hits = Counter(p for s in _shingles(words, _OVERLAP) & self._rows_of.keys() for p in self._rows_of[s])
        for number, count in hits.items():
            prompt, size = self._long[number]
            if count >= _SHARE * size:
                yield prompt
        asked = (turn for m, turn in zip(example.messages, turns, strict=True) if m.role == "user")
        yield from (tuple(turn) for turn in asked if tuple(turn) in self._exact)


def held_prompts(rows: Iterable[Example], others: Iterable[Example]) -> set[str]:
    """Return the ids of those of `others` whose prompt stands in one of `rows` (see the module's head)."""
    ids: dict[tuple[str, ...], list[str]] = defaultdict(list)
    kept = list(others)
    for example in kept:
        prompt = _prompt(example)
        ids[tuple(_split(prompt)) or (prompt.strip(),)].append(example.id)
    prompts = _Prompts(kept)
    held = {prompt for row in rows for prompt in prompts.found(row, _turns(row))}
    return {row_id for prompt in held for row_id in ids[prompt]}


def _turns(example: Example) -> list[list[str]]:
    """Words of each turn; a turn without any is its own text."""
    return [_split(m.content) or [m.content.strip()] for m in example.messages]


def _prompt(example: Example) -> str:
    return "\n".join(m.content for m in example.prompt if m.role == "user")


def _examples(folder: Path) -> Iterator[Example]:
    return (example_from_row(row) for row in rows_from_parquet(folder / ROWS))


def _batches(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while batch := list(itertools.islice(examples, _BATCH)):
        yield batch


def _split(text: str) -> list[str]:
    """Words, case folded, without punctuation."""
    return _WORD.findall((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold())


def _shingles(words: list[str] | tuple[str, ...], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def _signatures(rows: list[list[str]]) -> np.ndarray:
    """MinHash signatures, uint32 (n_rows, 64); a row of fewer than three words is one shingle."""
    import numpy as np
    from datasketch import MinHash

    shingles = [[" ".join(s).encode() for s in _shingles(words, _SHINGLE) or {tuple(words)}] for words in rows]
    sketches = MinHash.bulk(shingles, num_perm=_HASHES, seed=1)
    values = np.array([sketch.hashvalues for sketch in sketches], dtype=np.uint64)  # (n_rows, 64)
    return (values & np.uint64(0xFFFFFFFF)).astype(np.uint32)
