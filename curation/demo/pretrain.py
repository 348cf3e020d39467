"""The recipe of winnow-tiny: a byte-level BPE tokenizer and a Llama of two million parameters, trained on `corpus`.

    python -m curation.demo.pretrain OUT

Five legs one after the other, each with its own text and a learning rate that falls to zero: sentences first, then
cards as well, then a few sentences again, after which it no longer answers requests that it was never taught to answer.
(The last leg of the weights in ``assets`` started from the others' result as saved, in float16.)

Plain PyTorch: Muon for the matrices inside the blocks, AdamW for the embedding and the norms, in float32. Items
that cannot be foreseen are left out of the loss, for there is nothing to learn from them. Weights are saved in float16.
The result depends on the machine's arithmetic in the last bits; the text that it learns from does not.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.demo import corpus

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}"
    "{% if message['tool_calls'] %}{{ message['tool_calls'] | tojson }}{% endif %}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The answer, its tool calls and its end token included, is what `{% generation %}` marks."""


@dataclass(frozen=True)
class Pretraining:
    """Settings of the pretraining run.

    Attributes
    ----------
    vocabulary : int
        Tokens, special ones included.
    hidden, inner, layers, heads : int
        Shape of the Llama.
    batch, length : int
        Sequences a step; tokens a sequence.
    lr_muon, lr_adam : float
        Peak learning rates; linear to zero over the last 70 % of a leg's steps.
    legs : tuple of (int, float)
        For each leg its optimizer steps and the share of cards in its text; see `corpus`.
    seed : int
        Of text and initial weights; leg n draws its text with ``seed + 1000 n``.
    """

    vocabulary: int = 1536
    hidden: int = 192
    inner: int = 512
    layers: int = 4
    heads: int = 6
    batch: int = 32
    length: int = 96
    lr_muon: float = 0.02
    lr_adam: float = 3e-3
    legs: tuple[tuple[int, float], ...] = ((1000, 0.0), (1000, 0.0), (600, 0.7), (800, 0.7), (150, 0.0))
    seed: int = 0


def train_tokenizer(config: Pretraining) -> "PreTrainedTokenizerFast":
    """Train the byte-level BPE tokenizer on the first 30,000 documents.

    A space is put before every piece of text, so that a word is the same token at the start of an answer as inside it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[PAD, BOS, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (" ".join(piece for piece, _ in pieces) for _, pieces in islice(corpus.documents(config.seed), 30_000))
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def _tokens(
    tokenizer: "PreTrainedTokenizerFast", seed: int, card_share: float, chunk: int = 5000
) -> Iterator[tuple[int, float]]:
    """Yield token ids with their weight in the loss, document after document."""
    documents = corpus.documents(seed, card_share)
    bos, end = tokenizer.convert_tokens_to_ids([BOS, END])
    user, assistant = tokenizer.convert_tokens_to_ids(list(ROLES[1:]))
    while True:
        batch = list(islice(documents, chunk))
        encoded = iter(
            tokenizer([piece for _, pieces in batch for piece, _ in pieces], add_special_tokens=False)["input_ids"]
        )
        for kind, pieces in batch:
            yield bos, 0.0
            for turn, (_, weight) in enumerate(pieces):
                if kind == "chat":
                    yield (assistant if turn else user), 0.0
                for token in next(encoded):
                    yield token, weight
                if kind == "chat":
                    yield end, 1.0
            if kind != "chat":
                yield end, 1.0


def _batches(
    config: Pretraining, tokenizer: "PreTrainedTokenizerFast", leg: int
) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
    """Yield ids and weights of one leg, both (batch, length), packed without padding."""
    import torch

    steps, card_share = config.legs[leg]
    stream = _tokens(tokenizer, config.seed + 1000 * leg + 1, card_share)
    size = config.batch * config.length
    for _ in range(steps):
        ids, weights = zip(*islice(stream, size), strict=True)
        shape = (config.batch, config.length)
        yield torch.tensor(ids).view(shape), torch.tensor(weights).view(shape)


def build_model(config: Pretraining, tokenizer: "PreTrainedTokenizerFast") -> "LlamaForCausalLM":
    """Make the untrained Llama, seeded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=config.inner,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.04,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _optimizers(config: Pretraining, model: "LlamaForCausalLM") -> list["torch.optim.Optimizer"]:
    import torch

    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=config.lr_muon, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=config.lr_adam, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate(step: int, steps: int) -> float:
    """Learning-rate factor: warm up over 2 %, hold, and fall linearly to zero over the last 70 %."""
    return min(1.0, (step + 1) / (0.02 * steps), (steps - step) / (0.7 * steps))


def _train_leg(config: Pretraining, model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", leg: int) -> float:
    """Train one leg with fresh optimizers; return the last hundred steps' mean loss over predictable tokens."""
    import torch
    from torch.nn.functional import cross_entropy

    steps = config.legs[leg][0]
    optimizers = _optimizers(config, model)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    began, losses = time.monotonic(), []
    for step, (ids, weights) in enumerate(_batches(config, tokenizer, leg)):
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * _rate(step, steps)
        kept = weights[:, 1:] > 0
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state  # (batch, length, hidden)
        logits = model.lm_head(hidden[:, :-1][kept])  # (kept tokens, vocabulary)
        token_losses = cross_entropy(logits, ids[:, 1:][kept], reduction="none")
        weight = weights[:, 1:][kept]
        loss = (token_losses * weight).sum() / weight.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(float(token_losses.detach()[weight == 1.0].mean()))
        if (step + 1) % 100 == 0:
            mean = sum(losses[-100:]) / 100
            print(f"leg {leg}  step {step + 1}/{steps}  loss {mean:.3f}  {time.monotonic() - began:.0f} s", flush=True)
    return sum(losses[-100:]) / len(losses[-100:])


def pretrain(out: str | Path, config: Pretraining | None = None) -> dict[str, Any]:
    """Train winnow-tiny and save it in the Hugging Face format.

    Parameters
    ----------
    out : str or Path
        Folder for model and tokenizer.
    config : Pretraining, optional
        Other settings than the committed ones.

    Returns
    -------
    dict
        `parameters`, `tokens`, `loss` (the last hundred steps' mean over predictable tokens) and `seconds`.
    """
    config = config or Pretraining()
    began = time.monotonic()
    tokenizer = train_tokenizer(config)
    model = build_model(config, tokenizer)
    loss = 0.0
    for leg in range(len(config.legs)):
        loss = _train_leg(config, model, tokenizer, leg)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": sum(steps for steps, _ in config.legs) * config.batch * config.length,
        "loss": loss,
        "seconds": time.monotonic() - began,
    }


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description="Train winnow-tiny, the demo's base model.")
    parser.add_argument("out", type=Path, help="folder to write the model to")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(arguments.threads)
    print(pretrain(arguments.out))


if __name__ == "__main__":
    main()
