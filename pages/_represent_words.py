"""What the Represent page says of each representation, with the published figures, the sober ones included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from curation.wording import representation_label

ABOUT = """
- **LESS** asks: would a training step on this example lower the loss on the query? It compares gradients, after a
  short warmup training. The most telling, and the most costly: a forward and a backward pass an example and checkpoint.
- **RDS+** asks: does the base model, reading this example, end in a similar state as when it reads the query? One
  forward pass an example.
- **Embed** asks: is it about the same thing? A small embedding model of its own; needs no base model.
- **Lexical** asks: does it use the same words? Seconds, no model. What is dearer should beat it on your data.
"""

SPEARMAN = """
| | loss on the queries | loss on the test set | task metric |
|---|---:|---:|---:|
| LESS | 0.89 | 0.40 | 0.30 |
| RDS+ | 0.20 | −0.07 | 0.17 |
| Embed | 0.19 | −0.12 | 0.27 |
"""

GAIN = """
| | 500 examples | 2,500 | 10,000 |
|---|---:|---:|---:|
| Random | 0.5 | 3.0 | 4.2 |
| LESS | 2.1 | 5.1 | 6.0 |
| Embed | 2.1 | 2.8 | 4.4 |
| RDS+ | 1.4 | 3.6 | 5.2 |
"""

SOURCES = (
    "From the published data of Targeted Instruction Selection (arXiv 2602.14696), which builds on LESS "
    "(arXiv 2402.04333) and RDS+ (arXiv 2503.01807). Your data will differ: the Evaluate page tells how."
)


def first_stage(report: Mapping[str, Any]) -> str:
    """Say how many rows a first stage let through and what it lost; empty if there was none."""
    told = report.get("first_stage")
    if not told:
        return ""
    kept = f"{representation_label(told['name'])} let {told['n_kept']:,} of {told['n_pool']:,} rows through"
    if not told["recall"]:
        return f"{kept}: too few to measure what was lost."
    shares = ", ".join(f"{100 * r['recall']:.0f} % of the best {r['k']:,}" for r in told["recall"])
    first = told["recall"][0]
    return (
        f"{kept}, and with them {shares}, judged by {told['n_audited']:,} of the others "
        f"(95 % interval of the first {100 * first['low']:.0f} to {100 * first['high']:.0f} %)."
    )


def explain() -> None:
    """Draw the explanation, folded."""
    with st.expander("What these are, and what has been found", icon=":material/menu_book:"):
        st.markdown(ABOUT)
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown(
                "**Does nearness foretell the result?** Rank correlation with what a model scores after tuning,"
            )
            st.caption("mean of ten pairs of pool and base model; 1 is perfect, 0 is chance")
            st.markdown(SPEARMAN)
            st.markdown(
                "Nearness foretells the loss on the very queries it was computed from, the task metric far less."
            )
        with right:
            st.markdown("**What does it gain?** Points of task metric over the untuned model,")
            st.caption("Llama-2-7B on Tulu v2, round-robin selection")
            st.markdown(GAIN)
            st.markdown(
                "Newer base models often *lose* by tuning on 500 examples: −1.0 to −6.5 for SmolLM3-3B, −1.2 to −9.4 "
                "for Qwen3-4B. That is why zero-shot stands in every comparison."
            )
        st.caption(SOURCES)
