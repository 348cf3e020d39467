"""What came of an experiment's arms, told while they are tuned and judged: what each took, its curves, what failed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.wording import arm_label

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from curation.errors import CurationError
    from curation.evaluation import Evaluation


@dataclasses.dataclass
class Tried:
    """What came of the arms so far, each by its name; a result's fields of the same names tell what they hold."""

    arms: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    judged: dict[str, list[Evaluation]] = dataclasses.field(default_factory=dict)
    evaluations: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    tuned: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[dict[str, float]]] = dataclasses.field(default_factory=dict)
    failed: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    kept: dict[str, dict[str, list[Any]]] = dataclasses.field(default_factory=dict)
    stopped: dict[tuple[str, int], list[int]] = dataclasses.field(default_factory=dict)
    left: tuple[str, ...] = ()

    def leave(self, arms: tuple[str, ...]) -> None:
        """Drop the arms that were left out, tuned in part or not."""
        self.left = arms
        for told in (self.arms, self.judged, self.evaluations, self.tuned, self.curves, self.failed, self.kept):
            for arm in arms:
                told.pop(arm, None)
        self.stopped = {of: steps for of, steps in self.stopped.items() if of[0] not in arms}

    def begin(self, arm: str) -> None:
        """Open an arm's account, at its first seed."""
        self.arms.setdefault(arm, {"n_examples": 0, "tokens": 0, "seen": 0, "seconds": 0.0})

    def trained(self, arm: str, seed: int, adapter: Path, n_examples: int, *, watched: bool) -> int:
        """Add what one training took, and its loss curves; return its steps.

        Points of the curve have ``loss`` and what else was logged, or ``query_loss``; the latter only if the rows that
        were `watched` are those of this experiment.
        """
        told, result = self.arms[arm], json.loads((adapter / "result.json").read_text())
        points = [json.loads(line) for line in (adapter / "log.jsonl").read_text().splitlines()]
        measured = adapter / "measured.json"
        held = json.loads(measured.read_text()) if measured.is_file() else {}
        told |= {"n_examples": n_examples, "tokens": result["tokens"], "rejected": len(result["rejected"])}
        told["seen"] += sum(point["tokens"] for point in points)
        told["seconds"] += result["seconds"]
        told["disk"] = told.get("disk", 0) + sum(p.stat().st_size for p in adapter.rglob("*") if p.is_file())
        for name, most in held.items():
            told[name] = max(told.get(name, 0), most)
        steps: int = result["steps"]
        an_epoch = round(steps / result["epochs"]) if result["epochs"] else 0
        losses = [result.get("query_loss_before"), *result["query_losses"]] if watched else []
        for epoch, loss in enumerate(losses):
            if loss is not None:
                points.append({"step": min(epoch * an_epoch, steps), "query_loss": loss})
        self.tuned.setdefault(arm, {})[str(seed)] = adapter.name
        self.curves.setdefault(arm, []).extend({**point, "seed": seed} for point in points)
        if result.get("stopped_of") is not None:
            self.stopped[arm, seed] = [steps, result["stopped_of"]]
        return steps

    def judge(self, arm: str, seed: int, key: str, evaluation: Evaluation) -> None:
        """Add one judgement."""
        told = self.arms[arm]
        told["seconds"] = round(told["seconds"] + evaluation.seconds, 1)
        self.evaluations.setdefault(arm, {})[str(seed)] = key
        self.judged.setdefault(arm, []).append(evaluation)

    def ends(self, arm: str, seed: int, steps: int, queries: Collection[str]) -> None:
        """Add the query loss before the first step and after the last, as this experiment's own judgements have it.

        For a training that another experiment watched, on its own rows. `queries` are the rows that a training of this
        experiment watches.
        """
        for step, judged in ((0, self.judged.get("zero_shot", ())), (steps, self.judged[arm])):
            if not judged or "query_loss" not in judged[-1].ids:
                continue
            pairs = zip(judged[-1].ids["query_loss"], judged[-1].per_example["query_loss"], strict=True)
            if losses := [loss for row, loss in pairs if row in queries]:
                self.curves[arm].append({"step": step, "query_loss": sum(losses) / len(losses), "seed": seed})

    def fail(self, arm: str, seed: int, error: CurationError) -> dict[str, float]:
        """Note why one training, or its judgement, came to nothing, and what is kept of it; return it as readings."""
        from curation.training import DivergedError

        self.failed.setdefault(arm, {})[str(seed)] = str(error)
        if not isinstance(error, DivergedError):
            return {"unjudged": 1.0}
        if error.kept is None or error.artefact is None:
            return {"diverged": 1.0}
        self.kept.setdefault(arm, {})[str(seed)] = [error.artefact.name, error.kept.steps]
        return {"diverged": 1.0, "kept": float(error.kept.steps)}


def failures(result: Mapping[str, Any]) -> list[str]:
    """Say of each arm which trainings diverged and what is kept of them, and which models can't be judged."""
    told = []
    for arm, seeds in (result.get("failed") or {}).items():
        left = "It is judged by its other seeds." if arm in result["arms"] else "It is not judged."
        tuned = result.get("tuned", {}).get(arm, {})
        if diverged := [seed for seed in seeds if seed not in tuned]:
            numbers = f"seed{'s' if len(diverged) > 1 else ''} {', '.join(diverged)}"
            told.append(
                f"The training of the arm {arm_label(arm)} diverged with {numbers} and was stopped"
                f"{_of_which(result, arm, diverged)}. {left} Lower the learning rate and start again."
            )
        told += [f"{why[:1].upper()}{why[1:]}. {left}" for seed, why in seeds.items() if seed in tuned]
    return told


def _of_which(result: Mapping[str, Any], arm: str, seeds: Sequence[str]) -> str:
    """Say what is kept of trainings that diverged; of a result of an earlier version nothing is known."""
    if "kept" not in result:
        return ""
    steps = {seed: n for seed, (_, n) in result["kept"].get(arm, {}).items()}
    if not steps:
        return "; nothing was kept: it diverged before its first good checkpoint"
    if len(seeds) == 1:
        return f"; its weights are kept as of step {steps[seeds[0]]:,}"
    parts = [f"of seed {s} as of step {steps[s]:,}" if s in steps else f"of seed {s} none" for s in seeds]
    return f"; its weights are kept: {', '.join(parts)}"
