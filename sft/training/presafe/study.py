"""What is told of a run with PreSafe: what the teacher does, which paths the rows take, and how well the states before the chain of thought
tell its decision before and after training.

It stands in OUT/presafe.json from the start (a resumed run goes on with it) and in the manifest's summary. The paper's two paths: a
refusal before any reasoning where the teacher refuses (A), the whole reasoning where it answers (B). The surprise: the figure after training is
optimistic on the training prompts even out of fold, since the model itself has learned their decisions; validation prompts are not.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from curation import console
from curation.corpus.store import write_file
from schemas.row import Row
from sft.proof.check import Proof
from sft.training.config import TrainConfig
from sft.training.presafe.head import layers_of
from sft.training.presafe.probe import LogisticProbe, area, fit, prompt_states

FILE = "presafe.json"


class DecidedPrompts(NamedTuple):
    """The prompts that have a decision, each once."""

    tokens: list[list[int]]
    refused: torch.Tensor
    """(prompts,), 0 to 1."""


def teacher(rows: Sequence[Row], decisions: Sequence[float]) -> dict[str, Any]:
    """How many prompts have a decision, and the share that the teacher refuses, of all and of each kind."""
    kinds = {row.prompt_id: row.kind for row in rows}
    of_prompt = {row.prompt_id: d for row, d in zip(rows, decisions, strict=True) if d == d}
    told: dict[str, Any] = {"prompts": len(kinds), "decided": len(of_prompt)}
    told["refused"] = _rate(list(of_prompt.values()))
    for kind in sorted({str(kind) for kind in kinds.values() if kind}):
        told[kind] = _rate([d for key, d in of_prompt.items() if kinds[key] == kind])
    return told


def paths(rows: Sequence[Row], decisions: Sequence[float]) -> dict[str, int]:
    """Rows by what the teacher does with their prompt and whether they reason."""
    counts = dict.fromkeys(
        ("refused_without_reasoning", "refused_with_reasoning", "answered_with_reasoning", "answered_without_reasoning"), 0
    )  # fmt: skip
    for row, decision in zip(rows, decisions, strict=True):
        if decision == decision:
            done = "refused" if decision >= 0.5 else "answered"
            counts[f"{done}_{'with' if row.reasoning.strip() else 'without'}_reasoning"] += 1
    return counts


class Study:
    """The figures of one run; `before` training, and `after`.

    Args:
        trainer: with its head.
        config: of the run.
        proof: the rows of the mix.
        held_out: those of its validation split.
        decisions: prompt_id -> the teacher's decision.
    """

    def __init__(
        self, trainer: Any, config: TrainConfig, proof: Proof, held_out: Proof, decisions: Mapping[str, float]
    ) -> None:
        assert config.presafe is not None
        self._trainer, self._settings, self._file = trainer, config.presafe, Path(config.out) / FILE
        self._train, self._validation = (_decided(one, decisions) for one in (proof, held_out))
        known = [decisions.get(row.prompt_id, math.nan) for row in proof.kept]
        self.figures: dict[str, Any] = {
            "teacher": teacher(proof.kept, known),
            "paths": paths(proof.kept, known),
        }

    def before(self, resumed: bool) -> None:
        """Measure the untrained model, choose the layer and start the head; a resumed run has that behind it."""
        if resumed and self._file.is_file():
            self.figures = json.loads(self._file.read_bytes())
            self._trainer.listen(self.figures["layer"])
            return
        layer = self._settings.layer
        self.figures |= {"layer": -1 if layer == "best" else layer, "before": None, "after": None}
        if not resumed and len(self._train.tokens):
            layers = layers_of(self._trainer.model) if layer == "best" else [layer]
            probes = self._probes(layers)
            if layer == "best":
                self.figures["layer"] = best = _best(probes)
                self.figures["layers"] = {name: [p.auroc, p.loss] for name, (p, _) in probes.items()}
                self._trainer.listen(best)
            probe, held_out = probes[self.figures["layer"]]
            self.figures["before"] = _told(probe, held_out, self._validation)
            if self._settings.warm_start and probe.loss is not None:
                self._trainer.start_head(probe.weight, probe.bias)
        self._write()
        say(self.figures)

    def after(self) -> dict[str, Any]:
        """Measure the trained model, and return all figures."""
        if len(self._train.tokens):
            probe, held_out = self._probes([self.figures["layer"]])[self.figures["layer"]]
            self.figures["after"] = _told(probe, held_out, self._validation)
        shares = [
            entry["presafe_gradient_share"]
            for entry in self._trainer.state.log_history
            if "presafe_gradient_share" in entry
        ]
        if shares:
            self.figures["gradient_share"] = [round(shares[0], 4), round(shares[-1], 4)]
        self._write()
        say_result(self.figures)
        return self.figures

    def _probes(self, layers: Sequence[int]) -> dict[int, tuple[LogisticProbe, torch.Tensor | None]]:
        """A probe of each layer, and its log odds on the validation prompts."""
        model, position = self._trainer.model, self._settings.position
        how = (layers, position, bool(self._trainer.args.bf16))
        learned = prompt_states(model, self._train.tokens, *how)
        unseen = prompt_states(model, self._validation.tokens, *how) if len(self._validation.tokens) else None
        probes = {layer: fit(states, self._train.refused) for layer, states in learned.items()}
        return {layer: (p, p.odds(unseen[layer]) if unseen else None) for layer, p in probes.items()}

    def _write(self) -> None:
        if self._trainer.is_world_process_zero():
            write_file(self._file, json.dumps(self.figures, indent=2).encode() + b"\n")


def say(figures: dict[str, Any]) -> None:
    """Print what is known before training."""
    known, rows = figures["teacher"], figures["paths"]
    kinds = ", ".join(f"{kind} {_percent(known[kind])}" for kind in ("harmful", "benign") if kind in known)
    console.say(
        f"presafe: the teacher refuses {_percent(known['refused'])} of {known['decided']} prompts{f' ({kinds})' if kinds else ''}; rows: "
        f"{rows['refused_without_reasoning']} refusals without and {rows['refused_with_reasoning']} with reasoning, "
        f"{rows['answered_with_reasoning']} answers with and {rows['answered_without_reasoning']} without"
    )
    if known["refused"] in (0.0, 1.0):
        console.say("presafe: the teacher does the same with every prompt, so there is nothing to learn")
    for layer, (found, loss) in figures.get("layers", {}).items():
        console.say(
            f"presafe: layer {layer}: AUROC {_number(found)}, loss {_number(loss)} on prompts not fitted to"
        )
    before = figures["before"] or {}
    console.say(
        f"presafe: head on layer {figures['layer']}, AUROC before training {_number(before.get('auroc'))}"
    )


def say_result(figures: dict[str, Any]) -> None:
    """Print what training changed."""
    before, after = figures["before"] or {}, figures["after"] or {}
    shares = figures.get("gradient_share")
    moved = (
        f"; the head's share of the gradient norm {shares[0]:.3f} at first, {shares[1]:.3f} at last"
        if shares
        else ""
    )
    console.say(
        f"presafe: AUROC of a probe {_number(before.get('auroc'))} before training, {_number(after.get('auroc'))} after{moved}"
    )


def _decided(proof: Proof, decisions: Mapping[str, float]) -> DecidedPrompts:
    found = {
        row.prompt_id: tokens.input_ids[: tokens.prompt_length]
        for row, tokens in zip(proof.kept, proof.rendered, strict=True)
        if row.prompt_id in decisions
    }
    return DecidedPrompts(list(found.values()), torch.tensor([decisions[key] for key in found]))


def _told(probe: LogisticProbe, held_out: torch.Tensor | None, unseen: DecidedPrompts) -> dict[str, Any]:
    told: dict[str, Any] = {"auroc": probe.auroc, "loss": probe.loss, "ridge": probe.ridge}
    if held_out is not None:
        told |= {
            "validation_auroc": area(held_out, unseen.refused),
            "validation_prompts": len(unseen.refused),
        }
    return told


def _best(probes: dict[int, tuple[LogisticProbe, Any]]) -> int:
    """The layer of least loss out of fold; the last one where nothing can be told."""
    known = {layer: probe.loss for layer, (probe, _) in probes.items() if probe.loss is not None}
    return min(known, key=lambda layer: known[layer]) if known else -1


def _rate(decisions: Sequence[float]) -> float | None:
    return round(sum(d >= 0.5 for d in decisions) / len(decisions), 4) if decisions else None


def _percent(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.0%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
