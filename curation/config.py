"""Every option of every stage: frozen dataclasses that turn into JSON and back, validated where they are built.

A field made with `option` carries its one-sentence help and its range; forms, command-line help and documentation are
made from that. Nothing here imports torch. Methods of a family keep their own `Config` (a subclass of `Options`)
beside their code; here are the stages' and the one `RunConfig` that replays a whole run.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from curation.errors import ConfigError

SCHEMA_VERSION = 1


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """Declare a field: its default, its one-sentence help, its inclusive range or its choices."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    if isinstance(default, dict | list) or dataclasses.is_dataclass(default):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


REQUIRED = dataclasses.MISSING


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all option sets: checks types and ranges when built, refuses unknown names when read."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = _coerce(getattr(self, f.name), hints[f.name], f"{type(self).__name__}.{f.name}")
            object.__setattr__(self, f.name, value)
            _check_range(value, f, type(self).__name__)

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, where: str = "") -> Self:
        """Build from a plain dict; ConfigError names an unknown, missing or ill-typed option."""
        where = where or cls.__name__
        if not isinstance(data, dict):
            raise ConfigError(f"{where} is {type(data).__name__}, expected an object of options")
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = [name for name in data if name not in known]
        if unknown:
            raise ConfigError(f"{where} has no option {unknown[0]!r}; its options are: {', '.join(known) or 'none'}")
        for name, f in known.items():
            if name not in data and f.default is REQUIRED and f.default_factory is REQUIRED:
                raise ConfigError(f"{where} needs the option {name!r}: {f.metadata.get('help', '')}")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, every field named; `from_dict` gives the same options back."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as `hint` asks: nested options from dicts, tuples from lists, floats from ints; or raise."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _coerce(value, next(a for a in args if a is not type(None)), name)
    if isinstance(hint, type) and issubclass(hint, Options):
        return value if isinstance(value, hint) else hint.from_dict(value, where=name)
    if origin is tuple and isinstance(value, tuple | list):
        return tuple(_coerce(v, args[0], name) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(
            f"{name} is {value!r} ({type(value).__name__}), expected {getattr(expected, '__name__', hint)}"
        )
    return value


def _check_range(value: Any, f: dataclasses.Field[Any], owner: str) -> None:
    low, high, choices = (f.metadata.get(k) for k in ("low", "high", "choices"))
    for v in value if isinstance(value, tuple) else (value,):
        if v is None:
            continue
        if choices is not None and v not in choices:
            raise ConfigError(f"{owner}.{f.name} is {v!r}, expected one of: {', '.join(map(str, choices))}")
        if isinstance(v, int | float) and low is not None and not v >= low:
            raise ConfigError(f"{owner}.{f.name} is {v}, expected at least {low}")
        if isinstance(v, int | float) and high is not None and not v <= high:
            raise ConfigError(f"{owner}.{f.name} is {v}, expected at most {high}")


@dataclass(frozen=True, kw_only=True)
class Mapping(Options):
    """Which column of a file means what; an empty name means that the file has none."""

    schema: str = option(
        "auto",
        "How a row spells its conversation.",
        choices=("auto", "messages", "sharegpt", "alpaca", "prompt_response", "question_answer"),
    )
    messages: str = option("", "Column with the list of messages or ShareGPT turns.")
    prompt: str = option("", "Column with the prompt, instruction or question.")
    input: str = option("", "Column with an Alpaca row's further input.")
    response: str = option("", "Column with the response, output or answer.")
    system: str = option("", "Column with the system prompt.")
    id: str = option("", "Column with the row's own id.")
    group: str = option("", "Column with the subtask.")
    source: str = option("", "Column with the source.")
    licence: str = option("", "Column with the licence.")


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(Options):
    """Where rows come from: a path on this machine, or a hub id."""

    path: str = option(REQUIRED, "A file on this machine, or a hub id when `hub` is on.")
    hub: bool = option(False, "Read `path` from the Hugging Face hub.")
    split: str = option("train", "Split of a hub data set.")
    subset: str = option("", "Configuration (subset) of a hub data set.")
    revision: str = option("", "Revision of a hub data set; empty means its newest.")
    format: str = option("auto", "File format.", choices=("auto", "jsonl", "json", "csv", "tsv", "parquet"))
    mapping: Mapping = option(Mapping(), "Which column means what.")
    sha256: str = option("", "Hash that the file must have; empty means any.")


DTYPES = ("float32", "bfloat16", "float16", "4-bit")
DTYPE_HELP = "Number type of the weights; 4-bit is for large models on a GPU (QLoRA) and needs the extra cuda."


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Options):
    """The language model that is taught."""

    name: str = option(REQUIRED, "A folder in the standard format, or a hub id.")
    revision: str = option("", "Revision of a hub model; empty means its newest.")
    dtype: str = option("float32", DTYPE_HELP, choices=DTYPES)
    device: str = option("auto", "Where it runs; auto takes a GPU if there is one.", choices=("auto", "cpu", "cuda"))
    max_length: int = option(2048, "Longest conversation in tokens; longer ones are cut at the end.", low=8)
    trust_remote_code: bool = option(False, "Run Python code that comes with the model: only if you trust its author.")


@dataclass(frozen=True, kw_only=True)
class FirstStageConfig(Options):
    """A cheap representation that decides which pool rows a dear one sees."""

    name: str = option("lexical", "The cheap representation.", choices=("lexical", "embed", "rds"))
    keep: float = option(0.2, "Share of the pool that goes on.", low=0.001, high=1.0)
    audit: int = option(500, "Left-out rows that go on all the same, to measure what is lost.", low=0)
    seed: int = option(0, "Seed of their choice.", low=0)


@dataclass(frozen=True, kw_only=True)
class RepresentationConfig(Options):
    """How an example becomes a vector."""

    name: str = option("less", "Representation.")
    options: dict[str, Any] = option({}, "Its own options.")
    first_stage: FirstStageConfig | None = option(None, "A cheaper representation that thins the pool before.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_stage is not None and self.first_stage.name == self.name:
            raise ConfigError(f"the first stage is {self.name!r} as well, expected a cheaper representation")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Options):
    """One fine-tuning: LoRA or every weight."""

    method: str = option("lora", "Train small LoRA matrices, or every weight.", choices=("lora", "full"))
    learning_rate: float = option(2e-4, "Peak learning rate.", low=0.0)
    epochs: float = option(3.0, "Passes over the subset.", low=0.0)
    max_steps: int = option(0, "Optimizer steps whatever the subset's size; 0 means by epochs.", low=0)
    batch_size: int = option(16, "Examples an optimizer step.", low=1)
    micro_batch_size: int = option(16, "Examples a forward pass; smaller needs less memory.", low=1)
    warmup_ratio: float = option(0.03, "Share of the steps in which the learning rate rises.", low=0.0, high=1.0)
    schedule: str = option(
        "linear", "How the learning rate falls.", choices=("linear", "cosine", "constant", "constant_with_warmup")
    )
    weight_decay: float = option(0.0, "Weight decay.", low=0.0)
    max_grad_norm: float = option(1.0, "Gradient clipping.", low=0.0)
    lora_r: int = option(16, "LoRA rank.", low=1)
    lora_alpha: int = option(32, "LoRA scale.", low=1)
    lora_dropout: float = option(0.0, "LoRA dropout.", low=0.0, high=1.0)
    lora_targets: tuple[str, ...] = option(
        (), "Names of the layers that get LoRA; empty means all linear layers but the output layer."
    )
    bf16: bool = option(False, "Compute in bfloat16.")
    early_stopping: bool = option(False, "Keep the checkpoint of lowest query loss.")
    save_every_epoch: bool = option(False, "Keep a checkpoint with optimizer state each epoch (LESS needs it).")


@dataclass(frozen=True, kw_only=True)
class WarmupConfig(Options):
    """LESS's warmup: a short LoRA training on a random sample of the pool."""

    share: float = option(0.05, "Share of the pool it is trained on.", low=0.0, high=1.0)
    seed: int = option(0, "Seed of the sample and of the training.", low=0)
    training: TrainingConfig = option(
        TrainingConfig(epochs=4.0, learning_rate=2e-5, lora_dropout=0.1, save_every_epoch=True), "How it is trained."
    )


@dataclass(frozen=True, kw_only=True)
class BudgetConfig(Options):
    """How many examples, or how many tokens, may be picked."""

    examples: int | None = option(None, "Number of examples.", low=0)
    tokens: int | None = option(None, "Number of tokens.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.examples is None) == (self.tokens is None):
            raise ConfigError(f"the budget has examples={self.examples} and tokens={self.tokens}, expected exactly one")


@dataclass(frozen=True, kw_only=True)
class SelectionConfig(Options):
    """Which selector, with which budget and which decisions by hand."""

    selector: str = option("round_robin", "Selector.")
    options: dict[str, Any] = option({}, "Its own options.")
    budget: BudgetConfig = option(BudgetConfig(examples=500), "Budget.")
    seed: int = option(0, "Seed of selectors that draw at random.", low=0)
    feedback: bool = option(False, "Let pins ask for more of their kind and bans for less.")
    feedback_weight: float = option(0.5, "How much of its likeness to a banned row a row loses.", low=0.0, high=1.0)
    pinned: tuple[str, ...] = option((), "Ids of rows that must be in.")
    banned: tuple[str, ...] = option((), "Ids of rows that must stay out.")
    notes: dict[str, Any] = option({}, "Id → note.")
    quotas: dict[str, int] = option({}, "Source → most examples picked of it; sources not named have no limit.")
    minimum_similarity: float | None = option(
        None, "Least similarity to the nearest query that an example must have; empty means any."
    )
    minimum_score: float | None = option(None, "Least score that an example must have; empty means any.")
    scorer: str = option("length", "Whose score that is: length counts the characters of an example's answers.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for source, most in self.quotas.items():
            if not isinstance(most, int) or isinstance(most, bool) or most < 0:
                raise ConfigError(f"the quota of the source {source!r} is {most!r}, expected a whole number from 0")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Options):
    """How an arm is judged."""

    metrics: tuple[str, ...] = option(("query_loss", "test_loss", "exact_match"), "Metrics.")
    options: dict[str, Any] = option({}, "Metric → its own options.")
    max_new_tokens: int = option(64, "Longest generated answer in tokens.", low=1)
    batch_size: int = option(32, "Examples judged at once.", low=1)


ARMS = ("zero_shot", "random", "off_task", "selected", "full")


@dataclass(frozen=True, kw_only=True)
class QuantileConfig(Options):
    """Whether nearness to the queries predicts anything here: tune on subsets from near to far, and see."""

    bins: int = option(10, "Parts into which the pool is cut, from the nearest to the farthest.", low=4, high=100)
    examples: int = option(500, "Examples of each part that are tuned on: its nearest ones.", low=1)
    seeds: tuple[int, ...] = option((0,), "One training a seed and part.", low=0)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Options):
    """Which arms are tuned and judged, how often."""

    arms: tuple[str, ...] = option(
        ("zero_shot", "random", "selected"), "Arms; the untuned model (zero_shot) is always one.", choices=ARMS
    )
    selections: dict[str, Any] = option(
        {}, "Name → a further selection that is an arm: what differs from the main one, or the key of a saved one."
    )
    subsets: dict[str, str] = option({}, "Name → a file of your own (JSON lines of row ids, or rows) that is an arm.")
    models: dict[str, Any] = option(
        {}, "Name → a further model that is judged as it is, untuned: a hub id, a folder, or a model's options."
    )
    budgets: tuple[int, ...] = option(
        (), "Further sizes, in examples, at which selections and random picks are tuned.", low=1
    )
    equal: str = option(
        "passes",
        "What all arms have alike: passes over their own rows, optimizer steps, or (random arms) the rows' tokens.",
        choices=("passes", "steps", "tokens"),
    )
    seeds: tuple[int, ...] = option((0,), "One training a seed and arm.", low=0)
    training: TrainingConfig = option(TrainingConfig(), "How every arm is tuned.")
    full_training: TrainingConfig | None = option(None, "How the full pool is tuned, where that differs.")
    evaluation: EvaluationConfig = option(EvaluationConfig(), "How every arm is judged.")
    dev_share: float = option(
        0.0, "Share of the test rows set aside to judge epochs on, in place of the queries.", low=0.0, high=0.9
    )
    exclude_overlap: bool = option(False, "Judge on no test row whose prompt stands in the query set or the pool.")
    trackers: tuple[str, ...] = option(
        (),
        "Services that are told of every training, by their own login and if they are installed; TensorBoard files are "
        "always written.",
        choices=("wandb", "mlflow"),
    )
    price_per_hour: float = option(0.0, "Price of an hour of this machine, in your currency.", low=0.0)
    quantiles: QuantileConfig | None = option(None, "Check whether nearness predicts loss and metrics here.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if ARMS[0] not in self.arms:
            object.__setattr__(self, "arms", (ARMS[0], *self.arms))
        given = [*self.selections.items(), *self.subsets.items(), *self.models.items()]
        for name, asked in given:
            if name in ARMS or not name.strip() or "@" in name or [n for n, _ in given].count(name) > 1:
                raise ConfigError(
                    f"an arm is named {name!r}, expected a name of its own without @, other than {', '.join(ARMS)}"
                )
            if name not in self.models and not isinstance(asked, str if name in self.subsets else dict):
                raise ConfigError(
                    f"the arm {name!r} is {asked!r}, expected the path of a file under `subsets`, or an object of "
                    "options under `selections`"
                )
        for name, asked in self.models.items():
            if not (asked.get("name") if isinstance(asked, dict) else isinstance(asked, str) and asked.strip()):
                raise ConfigError(
                    f"the model {name!r} is {asked!r}, expected a hub id, a folder, or an object of options with `name`"
                )


@dataclass(frozen=True, kw_only=True)
class RunConfig(Options):
    """The whole loop: what `winnow run` replays."""

    NAME: ClassVar[str] = "run.json"

    schema_version: int = option(SCHEMA_VERSION, "Version of this form.")
    pool: DatasetConfig = option(REQUIRED, "The pool.")
    queries: DatasetConfig = option(REQUIRED, "The query set.")
    tests: DatasetConfig | None = option(None, "The test set.")
    model: ModelConfig | None = option(None, "The base model; lexical selection alone needs none.")
    representation: RepresentationConfig = option(RepresentationConfig(), "The representation.")
    warmup: WarmupConfig = option(WarmupConfig(), "LESS's warmup.")
    selection: SelectionConfig = option(SelectionConfig(), "The selection.")
    experiment: ExperimentConfig | None = option(None, "Fine-tuning and evaluation; none stops at the selection.")


@dataclass(frozen=True, kw_only=True)
class ProjectSettings(Options):
    """What a project has chosen so far; its data sets and its overrides are kept beside it."""

    model: ModelConfig | None = option(None, "The base model.")
    representation: RepresentationConfig = option(RepresentationConfig(), "The representation computed next.")
    warmup: WarmupConfig = option(WarmupConfig(), "LESS's warmup.")
    active: str = option("", "Key of the representation that is shown; empty means the newest.")
    selection: SelectionConfig = option(
        SelectionConfig(), "Selector and budget; pins and bans come from the overrides."
    )
    opened: str = option("", "Name and version of the saved selection that the present one comes from.")
    experiment: ExperimentConfig = option(ExperimentConfig(), "Fine-tuning and evaluation.")
    demo: bool = option(False, "The project that comes with Winnow.")
