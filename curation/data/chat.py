"""A conversation as token ids, and which of them are learned: the only place that formats chats.

Four ways to find the answers, tried in this order; the one in use is `Encoder.method` and part of `Encoder.key`:

- ``generation_mark``: the model's chat template marks them with ``{% generation %}``;
- ``trl_training_template``: TRL knows the template and carries a marked version of it;
- ``prefix_difference``: an answer is what ``render(turns up to it)`` has more than ``render(turns before it, generation
  prompt)``, as far as the whole text has it too; words that are missing there refuse the row;
- ``tulu``: there is no template at all, so the form of Tulu (Wang et al. 2023, open-instruct) is taken.

All of them yield character spans of one rendered text, which is tokenised once, without special tokens of the
tokenizer's own (the template writes them: no double BOS). A learned answer always ends with a stop token: a mark that
leaves it out is widened to it, and a template that writes none gets the tokenizer's EOS behind each answer. Dates that
templates take from the clock are fixed, so that the same row gives the same ids tomorrow.

`Encoder.prompt` gives what a server sends for the same turns, tokenised by itself; where the template's generation
prompt is not what stands before a learned answer (some open a reasoning trace), the latter is taken.

Left out: tool *definitions* (a row's id covers its messages only, so definitions belong into its system prompt) and
escaping of control tokens inside user text (every template treats them as they stand).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from curation.data.rows import Example, Message, RowError
from curation.errors import ModelError

VERSION = 1
IGNORED = -100  # the label that torch's cross entropy skips

TULU_TEMPLATE = (
    "{% if add_bos %}{{ bos_token }}{% endif %}"
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content | trim }}{% if m.tool_calls %}{% if m.content %}{{ '\\n' }}{% endif %}"
    "{{ m.tool_calls | tojson }}{% endif %}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ m.content | trim }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

# A macro shadows transformers' global of the same name, which reads the clock.
_FIXED_DATE = (
    "{% macro strftime_now(format) %}{{ format | replace('%d', '26') | replace('%B', 'July') | replace('%b', 'Jul')"
    " | replace('%Y', '2024') | replace('%m', '07') | replace('%y', '24') | replace('%A', 'Friday')"
    " | replace('%H', '12') | replace('%M', '00') | replace('%S', '00') }}{% endmacro %}"
)

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "winnowprobe"

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation; `labels_mask` is True where a token is learned; `truncated` if its end was cut."""

    input_ids: list[int]
    labels_mask: list[bool]
    truncated: bool = False

    @property
    def labels(self) -> list[int]:
        """The ids where learned, -100 elsewhere."""
        return [i if learned else IGNORED for i, learned in zip(self.input_ids, self.labels_mask, strict=True)]


class Encoder:
    """Formats conversations for one tokenizer.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        A fast tokenizer (it must report character offsets).
    max_length : int
        Longest conversation in tokens; what is behind it is cut.
    template : str, optional
        Jinja chat template to use in place of the tokenizer's own.

    Attributes
    ----------
    method : str
        How answers are found; see the module's head.
    stop_ids : tuple of int
        Tokens that end an answer: the tokenizer's EOS and what the template writes behind answers.

    Raises
    ------
    ModelError
        If the tokenizer is slow or has no token that ends an answer, or its template fails on a plain conversation.
    """

    def __init__(self, tokenizer: Any, max_length: int, template: str | None = None) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                f"tokenizer {type(tokenizer).__name__} reports no character offsets, expected a fast tokenizer; "
                "choose a model that ships tokenizer.json"
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.method, self.template = _choose(tokenizer, template)
        self._variables = {
            **tokenizer.special_tokens_map,
            "date_string": "26 Jul 2024",
            "add_bos": tokenizer.bos_token_id is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id,
        }
        added = {token for token in (*tokenizer.get_added_vocab(), tokenizer.eos_token) if token and token.strip()}
        self._control = re.compile("|".join(re.escape(t) for t in sorted(added, key=len, reverse=True)) or r"(?!)")
        self._add_end = False  # whether EOS has to be put behind answers here, because the template writes no end
        ends = self._ends()
        self._add_end = not ends
        self._end = ends[0] if ends else tokenizer.eos_token or ""  # the token behind an answer's text
        if not self._end:
            raise ModelError(
                "the tokenizer has no EOS token and its chat template ends no answer, expected one of them, or a tuned "
                "model would never stop; choose another model or set eos_token"
            )
        ids = (tokenizer.eos_token_id, *map(tokenizer.convert_tokens_to_ids, ends))
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys(i for i in ids if i is not None))

    @property
    def key(self) -> dict[str, Any]:
        """What the token ids depend on besides the row and the tokenizer."""
        digest = hashlib.sha256(self.template.encode()).hexdigest()
        return {"version": VERSION, "method": self.method, "template": digest, "max_length": self.max_length}

    def encode(self, example: Example) -> Encoded:
        """Return the conversation's token ids and which of them are learned.

        Raises
        ------
        RowError
            If the template can't express the row, an answer's place can't be verified, no turn is to be learned, or
            no answer token is left after cutting at `max_length`.
        """
        ids, _, mask = self._tokenise(example)
        if not any(mask[: self.max_length]):
            raise RowError(
                f"its first answer token is number {mask.index(True) + 1:,}, which is behind the longest length of "
                f"{self.max_length:,} tokens, so nothing would be learned; raise max_length or leave the row out",
                _name(example),
            )
        return Encoded(ids[: self.max_length], mask[: self.max_length], len(ids) > self.max_length)

    def prompt(self, example: Example) -> list[int]:
        """Return the token ids from which the last answer is generated: the turns before it and the generation prompt.

        Raises
        ------
        RowError
            If nothing stands before the last answer, the template can't express it, or it leaves no room to answer.
        """
        before = example.prompt
        text = self._render(example, before, generation_prompt=True)[0]
        if self.method != "prefix_difference" and len(before) < len(example.messages):
            whole, marks = self._render(example, example.messages[: len(before) + 1])
            if marks and not whole.startswith(text):
                text = whole[: marks[-1][0]]
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        if len(ids) >= self.max_length:
            raise RowError(
                f"its prompt takes {len(ids):,} tokens and leaves no room for an answer in {self.max_length:,}; "
                "raise max_length or leave the row out",
                _name(example),
            )
        return ids

    def tokens(self, example: Example) -> list[tuple[str, bool]]:
        """Return each token's text and whether it is learned, as `encode` sees them; the texts join to the whole."""
        _, texts, mask = self._tokenise(example)
        return list(zip(texts, mask, strict=True))[: self.max_length]

    def _tokenise(self, example: Example) -> tuple[list[int], list[str], list[bool]]:
        """Ids, texts and mask of the whole conversation, uncut."""
        text, spans = self._spans(example)
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        texts: list[str] = []
        mask: list[bool] = []
        last = 0
        behind = (len(text) + 1, len(text) + 1)
        pending = iter(sorted(spans))
        start, end = next(pending, behind)
        for a, b in encoding.offset_mapping:
            if (
                a == b
            ):  # some tokenizers trim white space out of offsets, which leaves nothing of a token of white space
                a = min(last, b - 1)
            while a >= end:
                start, end = next(pending, behind)
            mask.append(b > start)
            texts.append(text[last:b])  # the tokens of one character share its offsets: the first one gets its text
            last = max(last, b)
        return encoding.input_ids, texts, mask

    def _spans(self, example: Example) -> tuple[str, list[Span]]:
        """Render `example` and return the character spans of the answers that are learned, stop token included."""
        messages = example.messages
        text, marks = self._render(example, messages)
        self._check_whole(example, text)
        turns = [i for i, m in enumerate(messages) if m.role == "assistant"]
        learned = [i for i in turns if messages[i].train]
        if not learned:
            raise RowError("no assistant turn is to be learned; mark one with train = true", _name(example))
        if self.method == "prefix_difference":
            spans = {i: self._difference(example, i, text) for i in learned}
        elif len(marks) == len(turns):
            spans = {i: self._widened(text, mark) for i, mark in zip(turns, marks, strict=True) if messages[i].train}
        else:
            raise RowError(
                f"the chat template marks {len(marks)} answers where the row has {len(turns)} assistant turns, so "
                "which tokens to learn is not certain; use another template or leave the row out",
                _name(example),
            )
        for turn, (start, end) in spans.items():
            self._verify(example, turn, text[start:end])
        return text, list(spans.values())

    def _difference(self, example: Example, turn: int, text: str) -> Span:
        """Span of one turn: from the end of everything before it to the last control token of everything up to it."""
        before = self._render(example, example.messages[:turn], generation_prompt=True)[0]
        through = self._render(example, example.messages[: turn + 1])[0]
        # A template may write more behind the last turn than behind others, so only what both have is looked at.
        shared = through if text.startswith(through) else commonprefix([through, text])  # noqa: RUF071
        if not shared.startswith(before):
            raise RowError(
                f"the chat template writes what stands before turn {turn + 1} differently once that turn follows, so "
                "its place can't be verified; use a template with {% generation %} marks, or do not train on that turn",
                _name(example),
            )
        controls = [match.end() for match in self._control.finditer(shared, len(before))]
        return len(before), controls[-1] if controls else len(shared)

    def _widened(self, text: str, mark: Span) -> Span:
        """Take in the stop token right behind a mark that ends in plain text."""
        start, end = mark
        if not self._is_closed(text[start:end]):
            rest = text[end:]
            blank = len(rest) - len(rest.lstrip())
            if rest.startswith(self._end, blank):
                end += blank + len(self._end)
        return start, end

    def _is_closed(self, answer: str) -> bool:
        ends = [match.end() for match in self._control.finditer(answer)]
        return bool(ends) and not answer[ends[-1] :].strip()

    def _verify(self, example: Example, turn: int, answer: str) -> None:
        """Refuse the row unless what is to be learned has the turn's words and ends with a control token."""
        # Templates may move or drop a reasoning trace, so only what follows it has to be there.
        words = example.messages[turn].content.rpartition("</think>")[2].strip()
        calls = [call["function"]["name"] for call in _tool_calls(example.messages[turn])]
        if not all(part in answer for part in (words, *calls)):
            raise RowError(
                f"the chat template writes turn {turn + 1} differently once other turns follow, or leaves out words of "
                "it, so its place can't be verified; use another template, or do not train on that turn",
                _name(example),
            )
        if not self._is_closed(answer):
            raise RowError(
                f"the chat template does not end turn {turn + 1} with a control token, so the model would not learn to "
                "stop; use another template",
                _name(example),
            )

    def _check_whole(self, example: Example, text: str) -> None:
        """Refuse a row of which the template silently drops something."""
        for m in example.messages:
            quoted = json.dumps(m.content, ensure_ascii=False)[1:-1]  # some templates write tool results as JSON
            if m.role != "assistant" and m.content.strip() not in text and quoted not in text:
                raise RowError(f"the chat template leaves out a {m.role} turn; use another template", _name(example))
            names = [call["function"]["name"] for call in _tool_calls(m)]
            if not all(name in text for name in names):
                raise RowError(
                    f"the chat template can't express its tool call {names[0]!r}; use another template", _name(example)
                )

    def _render(
        self, example: Example, messages: tuple[Message, ...], *, generation_prompt: bool = False
    ) -> tuple[str, list[Span]]:
        """Rendered text and the spans that the template marks."""
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        if not messages:
            raise RowError("nothing stands before its answer; put a user turn first", _name(example))
        for arguments_as_text in (False, True):  # nearly all templates want an object, a few (DeepSeek-V3) its text
            try:
                rendered, marks = render_jinja_template(
                    conversations=[[self._plain(m, arguments_as_text) for m in messages]],
                    chat_template=self.template,
                    return_assistant_tokens_mask=self.method != "prefix_difference",
                    add_generation_prompt=generation_prompt,
                    **self._variables,
                )
                return rendered[0], _joined(marks[0]) if marks else []
            except TypeError as error:
                failure: Exception = error
            except TemplateError as error:
                failure = error
                break
        raise RowError(f"the chat template can't express it ({failure}); use another template", _name(example))

    def _plain(self, message: Message, arguments_as_text: bool) -> dict[str, Any]:
        content = message.content
        if self._add_end and message.role == "assistant" and not message.tool_calls:
            content = content.rstrip() + self._end
        plain: dict[str, Any] = {"role": message.role, "content": content}
        if message.tool_calls:
            plain["tool_calls"] = _tool_calls(message)
            for call in plain["tool_calls"] if arguments_as_text else ():
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        return plain

    def _ends(self) -> list[str]:
        """What ends an answer: the control tokens that the template writes behind one."""
        example = Example("probe", (Message("user", "a"), Message("assistant", _PROBE)))
        try:
            text = self._render(example, example.messages)[0]
        except RowError as error:
            raise ModelError(f"the model has no usable chat template: {error.reason}") from error
        _, found, tail = text.rpartition(_PROBE)
        if not found:
            raise ModelError("the model's chat template drops plain text, as those of image models do; choose another")
        return self._control.findall(tail)


def _choose(tokenizer: Any, template: str | None) -> tuple[str, str]:
    """Return the method and the template it uses."""
    if template is None and tokenizer.chat_template is None:
        return "tulu", TULU_TEMPLATE
    own: str = template if template is not None else tokenizer.get_chat_template()
    if _MARK.search(own):
        return "generation_mark", _dated(own)
    training = None if template is not None else _training_template(tokenizer)
    return ("trl_training_template", _dated(training)) if training else ("prefix_difference", _dated(own))


def _training_template(tokenizer: Any) -> str | None:
    """TRL's marked version of the tokenizer's template, or None where TRL knows none."""
    from jinja2 import TemplateError
    from trl.chat_template_utils import get_training_chat_template

    try:
        found: str | None = get_training_chat_template(tokenizer)
    except (ValueError, TypeError, TemplateError):  # unknown to TRL, or it fails on TRL's probes
        return None
    return found


def _joined(marks: list[Span]) -> list[Span]:
    """Marks without gaps between them made one: some templates mark an answer and its end apart."""
    joined: list[Span] = []
    for start, end in marks:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _dated(template: str) -> str:
    return _FIXED_DATE + template if "strftime_now" in template else template


def _tool_calls(message: Message) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's form, arguments as an object."""
    calls: list[dict[str, Any]] = json.loads(message.tool_calls) if message.tool_calls else []
    return calls


def _name(example: Example) -> str:
    return f"{example.id[:12]} ({example.user_id})" if example.user_id else example.id[:12]
