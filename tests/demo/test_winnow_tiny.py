"""winnow-tiny, as carried by the repository: a standard model folder, small, with answers marked in its template."""

import re
from itertools import islice
from pathlib import Path

import pytest

from curation.demo import corpus, world
from curation.demo.pretrain import Pretraining, pretrain
from curation.demo.skills import BY_NAME, SKILLS

FOLDER = Path(__file__).parents[2] / "assets" / "winnow-tiny"
CHAT = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "Reverse the list: cat, dog"},
    {"role": "assistant", "content": "dog cat"},
]


def test_folder_is_small_and_safe() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja"}


def test_model_loads_and_is_float16_on_disk() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert 2e6 <= sum(p.numel() for p in model.parameters()) <= 8e6
    assert model.config.model_type == "llama"
    assert model.dtype == torch.float16


def test_template_marks_the_answer_and_its_end() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    encoded = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked).strip() == "dog cat" + tokenizer.eos_token
    assert encoded["input_ids"].count(tokenizer.bos_token_id) == 1
    prompt = tokenizer.apply_chat_template(CHAT[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert encoded["input_ids"] == prompt + marked
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3


@pytest.mark.parametrize("card_share", [0.0, 0.7])
def test_corpus_asks_for_nothing(card_share: float) -> None:
    demo = world.generate(0)
    asked = {row["messages"][-2]["content"] for rows in demo.tests.values() for row in rows}
    phrases = {phrase.split("{")[0].strip() for skill in SKILLS for phrase in skill.asks} - {""}
    for kind, pieces in islice(corpus.documents(0, card_share), 3000):
        written = " ".join(piece for piece, _ in pieces)
        assert written not in asked
        if kind == "plain" and any(weight == 1.0 for _, weight in pieces):
            assert not any(written.lower().startswith(phrase) for phrase in phrases)


def test_dialogues_hold_no_request() -> None:
    requests = {phrase.split("{")[0].strip() for skill in SKILLS for phrase in skill.asks}
    requests = {phrase for phrase in requests if len(phrase.split()) > 1}
    dialogues = [pieces[0][0].lower() for kind, pieces in islice(corpus.documents(0, 1.0), 3000) if kind == "chat"]
    assert len(dialogues) > 500
    assert not any(phrase in asked for asked in dialogues for phrase in requests)


def test_core_skills_occur_in_no_dialogue() -> None:
    cues = {cue for name in corpus.CORE for cue in BY_NAME[name].cues}
    dialogues = [pieces[0][0].lower() for kind, pieces in islice(corpus.documents(0, 1.0), 3000) if kind == "chat"]
    assert not any(re.search(rf"\b{cue}\b", asked) for asked in dialogues for cue in cues)


@pytest.mark.slow
def test_recipe_runs_and_is_seeded(tmp_path: Path) -> None:
    config = Pretraining(hidden=32, inner=64, layers=1, heads=2, batch=4, length=32, legs=((3, 0.0), (2, 0.5)))
    first, second = (pretrain(tmp_path / name, config) for name in ("a", "b"))
    assert first["loss"] == second["loss"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]
