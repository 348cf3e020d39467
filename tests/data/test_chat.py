"""Chat formatting: which tokens are learned, whatever the template; nothing doubled, nothing missing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from curation.data.chat import Encoder
from curation.data.rows import Example, Message, RowError, row_id
from curation.errors import ModelError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' "
    "+ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string }}"
    "{{ '\\n\\n' + system + '<|eot_id|>' }}"
    "{% for m in rest %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}"
    '{% if m.tool_calls %}{{ \'{"name": "\' + m.tool_calls[0].function.name + \'", "parameters": \' }}'
    "{{ m.tool_calls[0].function.arguments | tojson }}{{ '}<|eot_id|>' }}"
    "{% elif m.role == 'tool' %}{{ m.content | tojson + '<|eot_id|>' }}"
    "{% else %}{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% for call in m.tool_calls or [] %}"
    '{{ \'\\n<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
FAMILIES = {"chatml": CHATML, "llama_3": LLAMA_3, "qwen": QWEN}

CALLS = json.dumps([{"type": "function", "function": {"name": "weather", "arguments": {"city": "Łódź"}}}])


def example(*turns: tuple[str, str] | Message, **columns: Any) -> Example:
    messages = tuple(t if isinstance(t, Message) else Message(*t) for t in turns)
    return Example(row_id(messages), messages, **columns)


TWO_TURNS = example(
    ("system", "Be brief."),
    ("user", "Héllo 🙂, what is 2+2?"),
    ("assistant", "It is 4 🙂."),
    ("user", "And 3+3?"),
    ("assistant", "6"),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_lm: Path) -> Any:
    """tiny-lm's byte-level BPE, cut into words as Llama 3 and Qwen do, with their control tokens and no template."""
    from tokenizers import Regex, pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    split = pre_tokenizers.Split(words, "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    marks = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.chat_template = None
    return tokenizer


def learned(encoder: Encoder, row: Example) -> list[str]:
    """Texts of the learned stretches, and a check that `tokens` and `encode` tell the same."""
    tokens = encoder.tokens(row)
    assert [flag for _, flag in tokens] == encoder.encode(row).labels_mask
    stretches = [""]
    for (text, flag), after in zip(tokens, [*tokens[1:], ("", False)], strict=True):
        if flag:
            stretches[-1] += text
            if not after[1]:
                stretches.append("")
    return stretches[:-1]


@pytest.mark.parametrize(
    ("family", "end"), [("chatml", "<|im_end|>"), ("llama_3", "<|eot_id|>"), ("qwen", "<|im_end|>")]
)
def test_templates_without_marks_learn_exactly_the_answers_and_their_end(tokenizer: Any, family: str, end: str) -> None:
    encoder = Encoder(tokenizer, 512, FAMILIES[family])
    assert encoder.method == "prefix_difference"
    assert learned(encoder, TWO_TURNS) == [f"It is 4 🙂.{end}", f"6{end}"]
    assert tokenizer.convert_tokens_to_ids(end) in encoder.stop_ids


@pytest.mark.parametrize("family", FAMILIES)
def test_the_generation_prompt_is_a_prefix_of_the_whole(tokenizer: Any, family: str) -> None:
    encoder = Encoder(tokenizer, 512, FAMILIES[family])
    prompt, whole = encoder.prompt(TWO_TURNS), encoder.encode(TWO_TURNS)
    assert whole.input_ids[: len(prompt)] == prompt
    assert whole.labels_mask[len(prompt)] and not whole.labels_mask[len(prompt) - 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_token_texts_join_to_the_rendered_conversation(tokenizer: Any, family: str) -> None:
    encoder = Encoder(tokenizer, 512, FAMILIES[family])
    rendered = tokenizer.decode(encoder.encode(TWO_TURNS).input_ids)
    assert "".join(text for text, _ in encoder.tokens(TWO_TURNS)) == rendered


def test_the_mark_of_the_real_model_is_taken(tiny_lm: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    encoder = Encoder(tokenizer, 512)
    assert encoder.method == "generation_mark"
    assert learned(encoder, TWO_TURNS) == ["It is 4 🙂.<|eos|>", "6<|eos|>"]
    encoded = encoder.encode(TWO_TURNS)
    assert encoded.labels == [i if m else -100 for i, m in zip(encoded.input_ids, encoded.labels_mask, strict=True)]
    assert encoder.stop_ids == (tokenizer.eos_token_id,)
    plain = [{"role": m.role, "content": m.content} for m in TWO_TURNS.messages]
    reference = tokenizer.apply_chat_template(plain, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    assert encoded.input_ids == reference["input_ids"]


def test_a_mark_without_the_end_is_widened_to_it(tokenizer: Any) -> None:
    bare = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    encoder = Encoder(tokenizer, 512, bare)
    assert encoder.method == "generation_mark"
    assert learned(encoder, TWO_TURNS) == ["It is 4 🙂.<|im_end|>", "6<|im_end|>"]


@pytest.mark.parametrize(
    ("name", "end"), [("llama3", "<|eot_id|>"), ("qwen2_5", "<|im_end|>\n"), ("qwen3", "<|im_end|>\n")]
)
def test_trl_training_template_is_used_for_templates_that_trl_knows(tokenizer: Any, name: str, end: str) -> None:
    from trl import chat_template_utils

    known = copy.deepcopy(tokenizer)
    known.chat_template = getattr(chat_template_utils, f"{name}_chat_template")
    encoder = Encoder(known, 512)
    assert encoder.method == "trl_training_template"
    first, second = learned(encoder, TWO_TURNS)
    assert first.endswith("It is 4 🙂." + end)
    assert second.endswith("6" + end)
    assert (name == "qwen3") == ("<think>" in second)


def test_prefix_difference_agrees_with_trl(tokenizer: Any) -> None:
    from trl import chat_template_utils

    known = copy.deepcopy(tokenizer)
    known.chat_template = chat_template_utils.llama3_chat_template
    by_trl = Encoder(known, 512).encode(TWO_TURNS)
    by_difference = Encoder(known, 512, known.chat_template)
    assert by_difference.method == "prefix_difference"
    assert by_difference.encode(TWO_TURNS) == by_trl


def test_tulu_form_only_without_any_template(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 512)
    assert encoder.method == "tulu"
    text = "".join(text for text, _ in encoder.tokens(TWO_TURNS))
    assert text == (
        "<|system|>\nBe brief.\n<|user|>\nHéllo 🙂, what is 2+2?\n<|assistant|>\nIt is 4 🙂.<|eos|>\n"
        "<|user|>\nAnd 3+3?\n<|assistant|>\n6<|eos|>\n"
    )
    assert learned(encoder, TWO_TURNS) == ["It is 4 🙂.<|eos|>", "6<|eos|>"]


def test_bos_stands_once(tokenizer: Any) -> None:
    """Llama's tokenizer adds BOS and so does its template: one must win."""
    from tokenizers.processors import TemplateProcessing

    adding = copy.deepcopy(tokenizer)
    bos = adding.bos_token_id
    adding.backend_tokenizer.post_processor = TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", bos)])
    assert adding("a").input_ids[0] == bos
    for template in (LLAMA_3, None):
        encoder = Encoder(adding, 512, template)
        for ids in (encoder.encode(TWO_TURNS).input_ids, encoder.prompt(TWO_TURNS)):
            assert ids[0] == bos
            assert ids.count(bos) == 1


def test_a_template_that_ends_no_answer_gets_eos(tokenizer: Any) -> None:
    plain = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    encoder = Encoder(tokenizer, 512, plain)
    assert learned(encoder, TWO_TURNS) == [" It is 4 🙂.<|eos|>", "6<|eos|>"]  # " It" is one token, " 6" two
    assert encoder.stop_ids == (tokenizer.eos_token_id,)


def test_no_way_to_stop_is_refused(tokenizer: Any) -> None:
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    with pytest.raises(ModelError, match="no EOS token and its chat template ends no answer"):
        Encoder(endless, 512, "{% for m in messages %}{{ m.content }}\n{% endfor %}")


def test_marks_that_part_an_answer_from_its_end_are_one(tokenizer: Any) -> None:
    """As TRL's template for Phi 3, which marks the EOS behind the last turn apart."""
    parted = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% generation %}{{ '<|im_end|>' }}{% endgeneration %}"
        "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
        "{% else %}{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}"
    )
    encoder = Encoder(tokenizer, 512, parted)
    assert learned(encoder, TWO_TURNS) == ["It is 4 🙂.<|im_end|>", "6<|im_end|><|eos|>"]
    assert encoder.stop_ids == (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>"))


def test_what_stands_behind_the_last_turn_only_is_no_obstacle(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 512, CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}")
    assert encoder.method == "prefix_difference"
    assert learned(encoder, TWO_TURNS) == ["It is 4 🙂.<|im_end|>", "6<|im_end|>\n<|eos|>"]


def test_the_prompt_is_what_stands_before_a_learned_answer(tokenizer: Any) -> None:
    """Where the generation prompt opens a reasoning trace that the row does not have."""
    marked = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
    )
    encoder = Encoder(tokenizer, 512, marked)
    assert encoder.method == "generation_mark"
    prompt = encoder.prompt(TWO_TURNS)
    assert tokenizer.decode(prompt).endswith("And 3+3?<|im_end|><|im_start|>assistant\n")
    assert encoder.encode(TWO_TURNS).input_ids[: len(prompt)] == prompt


def test_a_template_for_images_is_refused(tokenizer: Any) -> None:
    parts = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}<|im_end|>{% endfor %}"
    with pytest.raises(ModelError, match="drops plain text, as those of image models do"):
        Encoder(tokenizer, 512, parts)


def test_a_broken_template_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="no usable chat template"):
        Encoder(tokenizer, 512, "{{ raise_exception('only for images') }}")


@pytest.mark.parametrize("template", [*FAMILIES.values(), None])
def test_train_flags_choose_the_turns(tokenizer: Any, template: str | None) -> None:
    encoder = Encoder(tokenizer, 512, template)
    first_only = example(
        ("user", "a?"), ("assistant", "alpha"), ("user", "b?"), Message("assistant", "beta", train=False)
    )
    (only,) = learned(encoder, first_only)
    assert only.startswith("alpha")
    with pytest.raises(RowError, match="no assistant turn is to be learned"):
        encoder.encode(example(("user", "a?"), Message("assistant", "alpha", train=False)))


@pytest.mark.parametrize("family", ["llama_3", "qwen"])
def test_tool_calls_are_rendered_and_learned(tokenizer: Any, family: str) -> None:
    encoder = Encoder(tokenizer, 512, FAMILIES[family])
    row = example(
        ("user", "Weather in Łódź?"),
        Message("assistant", "", CALLS),
        ("tool", '{"rain": "yes"}'),
        ("assistant", "It rains."),
    )
    call, answer = learned(encoder, row)
    assert '"weather"' in call and '{"city": "Łódź"}' in call
    assert answer.startswith("It rains.")
    prompt = encoder.prompt(row)
    assert encoder.encode(row).input_ids[: len(prompt)] == prompt


def test_tulu_form_writes_tool_calls(tokenizer: Any) -> None:
    call, _ = learned(
        Encoder(tokenizer, 512),
        example(("user", "w?"), Message("assistant", "", CALLS), ("tool", "rain"), ("assistant", "It rains.")),
    )
    assert '"weather"' in call and call.endswith("<|eos|>")


def test_tool_arguments_as_text_where_the_template_wants_text(tokenizer: Any) -> None:
    wants_text = CHATML.replace(
        "message['content']",
        "(message.tool_calls[0].function.name + ' ' + message.tool_calls[0].function.arguments "
        "if message.tool_calls else message['content'])",
    )
    (call,) = learned(Encoder(tokenizer, 512, wants_text), example(("user", "w?"), Message("assistant", "", CALLS)))
    assert call == 'weather {"city": "Łódź"}<|im_end|>'


def test_a_template_without_tool_calls_refuses_them_by_name(tokenizer: Any) -> None:
    row = example(("user", "w?"), Message("assistant", "", CALLS), user_id="row-7")
    with pytest.raises(RowError, match=rf"row {row.id[:12]} \(row-7\): .*can't express its tool call 'weather'"):
        Encoder(tokenizer, 512, CHATML).encode(row)


def test_a_tool_call_outside_of_what_is_learned_is_refused(tokenizer: Any) -> None:
    outside = CHATML.replace(
        "'<|im_end|>'", "'<|im_end|>' + (message.tool_calls | tojson if message.tool_calls else '')"
    )
    row = example(("user", "w?"), Message("assistant", "Let me see.", CALLS))
    with pytest.raises(RowError, match="turn 2 differently once other turns follow, or leaves out words"):
        Encoder(tokenizer, 512, outside).encode(row)


def test_a_template_that_refuses_or_drops_a_system_prompt(tokenizer: Any) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(RowError, match="System role not supported"):
        Encoder(tokenizer, 512, refuses + CHATML).encode(TWO_TURNS)
    drops = CHATML.replace("%}{{ '<|im", "%}{{ '' if message.role == 'system' else '<|im", 1)
    with pytest.raises(RowError, match="leaves out a system turn"):
        Encoder(tokenizer, 512, drops).encode(TWO_TURNS)


def test_a_turn_whose_place_cannot_be_verified_is_refused_only_if_learned(tokenizer: Any) -> None:
    """As Qwen3's own template does: the reasoning of earlier turns is dropped once a later one follows."""
    forgets = CHATML.replace(
        "message['content']", "(message['content'] if loop.last else message['content'].split('</think>')[-1])"
    )
    turns = [("user", "a?"), ("assistant", "<think>hm</think>alpha"), ("user", "b?"), ("assistant", "beta")]
    encoder = Encoder(tokenizer, 512, forgets)
    assert encoder.method == "prefix_difference"
    with pytest.raises(RowError, match="turn 2 differently once other turns follow"):
        encoder.encode(example(*turns))
    turns_kept = [Message(*t, train=i == 3) for i, t in enumerate(turns)]
    assert learned(encoder, example(*turns_kept)) == ["beta<|im_end|>"]


def test_truncation_keeps_the_head_and_refuses_a_row_without_answer(tokenizer: Any) -> None:
    row = example(("user", "word " * 50), ("assistant", "the answer is a long one indeed"), user_id="long")
    whole = Encoder(tokenizer, 512, CHATML).encode(row)
    first = whole.labels_mask.index(True)
    cut = Encoder(tokenizer, first + 2, CHATML).encode(row)
    assert cut.truncated and not whole.truncated
    assert cut.input_ids == whole.input_ids[: first + 2]
    assert cut.labels_mask == whole.labels_mask[: first + 2]
    short = Encoder(tokenizer, first, CHATML)
    with pytest.raises(RowError, match=rf"{row.id[:12]} \(long\): its first answer token is number {first + 1}"):
        short.encode(row)
    with pytest.raises(RowError, match="leaves no room for an answer"):
        short.prompt(row)


def test_a_conversation_without_a_prompt(tokenizer: Any) -> None:
    row = example(("assistant", "Hello."), ("user", "hi"))
    with pytest.raises(RowError, match="nothing stands before its answer"):
        Encoder(tokenizer, 512, CHATML).prompt(row)


def test_dates_do_not_come_from_the_clock(tokenizer: Any) -> None:
    dated = "{{ '<|im_start|>system\\n' + strftime_now('%d %B %Y') + '<|im_end|>\\n' }}" + CHATML
    text = "".join(t for t, _ in Encoder(tokenizer, 512, dated).tokens(TWO_TURNS))
    assert text.startswith("<|im_start|>system\n26 July 2024<|im_end|>\n<|im_start|>system\nBe brief.")
    assert "26 Jul 2024" in "".join(t for t, _ in Encoder(tokenizer, 512, LLAMA_3).tokens(TWO_TURNS))


def test_key_tells_template_method_and_length(tokenizer: Any) -> None:
    keys = [Encoder(tokenizer, n, t).key for n, t in [(512, CHATML), (512, QWEN), (64, CHATML), (512, None)]]
    assert len({json.dumps(k, sort_keys=True) for k in keys}) == 4
    assert keys[0] == Encoder(tokenizer, 512, CHATML).key
    assert keys[3]["method"] == "tulu"


def test_offsets_that_leave_out_white_space(tokenizer: Any) -> None:
    """Tokenizers that trim offsets (Llama 3's does) must learn the same tokens."""
    from tokenizers.processors import ByteLevel

    trimming = copy.deepcopy(tokenizer)
    trimming.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    row = example(("user", "two\n\n\nlines"), ("assistant", "one\n\n\n  two   three"))
    assert Encoder(trimming, 512, CHATML).encode(row) == Encoder(tokenizer, 512, CHATML).encode(row)


def test_slow_tokenizers_are_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow reports no character offsets"):
        Encoder(Slow(), 512)


def test_the_real_conversations_learn_both_answers(shared: Path, tiny_lm: Path) -> None:
    import gzip

    from transformers import AutoTokenizer

    encoder = Encoder(AutoTokenizer.from_pretrained(tiny_lm), 4096)
    for line in gzip.decompress((shared / "data" / "multiturn.jsonl.gz").read_bytes()).splitlines():
        turns = [(m["role"], m["content"]) for m in json.loads(line)["messages"]]
        assert learned(encoder, example(*turns)) == [text + "<|eos|>" for role, text in turns if role == "assistant"]
