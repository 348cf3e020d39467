"""The settings under which the demo runs: winnow-tiny, LESS and its warmup, the budget, the arms.

They were tuned on the worlds of seeds 0, 1 and 2 alone.
"""

from curation.config import (
    EvaluationConfig,
    ModelConfig,
    RepresentationConfig,
    TrainingConfig,
    WarmupConfig,
)

MODEL = ModelConfig(name="winnow-tiny", max_length=128)
"""No conversation of the demo is longer than 80 tokens."""

LORA_R, LORA_ALPHA = 8, 16
"""Of the warmup, on all linear layers: 117 thousand weights, 6 % of the model."""

WARMUP = WarmupConfig(
    share=0.4,
    training=TrainingConfig(
        learning_rate=2e-3,
        epochs=1.0,
        batch_size=16,
        micro_batch_size=16,
        schedule="constant_with_warmup",
        lora_r=LORA_R,
        lora_alpha=LORA_ALPHA,
        save_every_epoch=True,
    ),
)
"""A tiny model needs a learning rate a hundred times that of a 7B one. Each epoch is a checkpoint, and each checkpoint
costs LESS a pass over the pool: so one epoch, over more rows than usual, and no decay, for there is no second."""

REPRESENTATION = RepresentationConfig(name="less", options={"formula": "less", "d": 4096, "autocast": "off"})
"""Without autocast, so that the shipped results are those of every processor."""

BUDGET = 300
"""5 % of the pool: as many as a target skill has rows in it."""

TRAINING = TrainingConfig(method="full", learning_rate=1e-3, epochs=6.0, batch_size=16, micro_batch_size=16)
"""For every arm of the budget's size: the same epochs, so the same number of optimizer steps. Every weight is trained:
on a model this small LoRA saves nothing, and at rank 8 it has too little room for the full pool's twenty skills."""

FULL_TRAINING = TrainingConfig(method="full", learning_rate=1e-3, epochs=3.0, batch_size=16, micro_batch_size=16)
"""For the full pool: half the passes, over twenty times the rows."""

EVALUATION = EvaluationConfig(max_new_tokens=8, batch_size=128)
"""No right answer to a target is longer than five tokens, its end included."""
