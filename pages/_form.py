"""Forms made from an option set: one widget a field, from its type, default, range, choices and one-sentence help."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Collection
from typing import Any

import streamlit as st

from curation.config import REQUIRED, Options
from pages._shell import key

NAMES = {  # fields and methods whose own name is jargon, or no word
    "d": "Dimensions",
    "dtype": "Number type",
    "max_length": "Longest conversation",
    "lora_r": "LoRA rank",
    "lora_alpha": "LoRA scale",
    "lora_dropout": "LoRA dropout",
    "lora_targets": "LoRA layers",
    "bf16": "Compute in bf16",
    "epochs": "Passes (epochs)",
    "max_steps": "Steps, 0: by passes",
    "warmup_ratio": "Share of warmup steps",
    "max_grad_norm": "Gradient clipping",
    "micro_batch_size": "Examples a forward pass",
    "batch_size": "Examples a step",
    "EvaluationConfig.batch_size": "Examples judged at once",
    "max_new_tokens": "Longest answer, in tokens",
    "tokens_per_batch": "Tokens at once",
    "max_tokens": "Longest verdict, tokens",
    "key_variable": "Variable that holds the key",
    "timeout": "Seconds to wait",
    "parallel": "Asked at once",
    "input_price": "Price, million tokens asked",
    "output_price": "Price, million answered",
    "autocast": "Compute in bf16",
    "storage": "Kept as",
    "keep": "Share that goes on",
    "audit": "Rows checked",
    "name": "Cheaper representation",
    "bins": "Parts of the pool",
    "examples": "Examples of each part",
    "price_per_hour": "Price of an hour here",
    "uot": "UOT, optimal transport",
    "knn_uniform": "KNN uniform",
    "knn_kde": "KNN KDE",
    "mmr": "MMR",
    "k_center": "k-center",
}


def fields(
    options: type[Options],
    current: dict[str, Any],
    name: str,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> dict[str, Any]:
    """Draw the fields of an option set, three a line, and return their values as `Options.from_dict` takes them.

    Parameters
    ----------
    options : type
        The option set; nested option sets and free dictionaries are left to the caller.
    current : dict
        Values to start from; fields that it lacks start from their default.
    name : str
        What the form is for; makes its widgets' keys unique.
    only, skip : collections of str
        Which fields to draw (empty: all), and which not.
    """
    hints = typing.get_type_hints(options)
    shown = [
        f
        for f in dataclasses.fields(options)
        if (not only or f.name in only) and f.name not in skip and _kind(hints[f.name]) is not None
    ]
    values: dict[str, Any] = {}
    for start in range(0, len(shown), 3):
        for column, f in zip(st.columns(3), shown[start : start + 3], strict=False):
            default = "" if f.default is REQUIRED else f.default
            with column:
                title = NAMES.get(f"{options.__name__}.{f.name}") or label(f.name)
                value = current.get(f.name, default)
                values[f.name] = _widget(f, title, hints[f.name], value, key(f"{name}.{f.name}"))
    return values


def label(field_name: str) -> str:
    """Return a field's name as people write it."""
    text = field_name.replace("_", " ")
    return NAMES.get(field_name, text[:1].upper() + text[1:].replace("lora", "LoRA"))


def _kind(hint: Any) -> Any:
    """Return the type that decides the widget, or None where there is no widget for it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _kind(next(a for a in typing.get_args(hint) if a is not type(None)))
    if typing.get_origin(hint) is tuple:
        return tuple
    return hint if hint in (bool, int, float, str) else None


def _widget(f: dataclasses.Field[Any], title: str, hint: Any, value: Any, widget_key: str) -> Any:
    kind, about = _kind(hint), f.metadata
    said = about.get("help", "")
    if kind is bool:
        return st.toggle(title, value, help=said, key=widget_key)
    if about.get("choices") and kind is not tuple:
        choices = list(about["choices"])
        return st.selectbox(title, choices, index=choices.index(value), help=said, key=widget_key)
    if kind is tuple:
        return _listed(title, value, typing.get_args(hint)[0], said, widget_key)
    if kind is str:
        return st.text_input(title, value, help=said, key=widget_key)
    low, high = (None if bound is None else kind(bound) for bound in (about.get("low"), about.get("high")))
    limits = {"min_value": low, "max_value": high, "help": said, "key": widget_key}
    if kind is int:
        return st.number_input(title, value=value, step=1, **limits)
    step = 10.0 ** math.floor(math.log10(value)) if value else 0.01  # one unit of the leading digit
    return st.number_input(title, value=value, step=step, format="%g", **limits)


def _listed(title: str, value: tuple[Any, ...], kind: Any, said: str, widget_key: str) -> list[Any]:
    text = st.text_input(title, ", ".join(map(str, value)), help=f"{said} Separate them by commas.", key=widget_key)
    parts = [p.strip() for p in text.split(",") if p.strip()]
    return [int(p) if kind is int and p.lstrip("-").isdigit() else p for p in parts]
