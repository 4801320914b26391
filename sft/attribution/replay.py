"""A finished run again: its rows as they were trained on, and its model at each snapshot, with the gradient of one sequence at a time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from curation import console
from curation.engines.weights import (
    base_of_run,
    fingerprint,
    load_model,
    load_tokenizer,
    locate,
    place_of_run,
)
from curation.hardware import use_threads
from schemas.errors import DataError
from schemas.row import Row
from sft.attribution.behaviours import Behaviour, Replied
from sft.attribution.projection import Gradient
from sft.proof.check import prove
from sft.proof.mix import read_mix
from sft.proof.render import IGNORED, RenderedRow, render
from sft.proof.templated import Rendering
from sft.training import loading
from sft.training.config import TrainConfig
from sft.training.snapshots import RunSnapshot, snapshots
from sft.training.stage import differences


class TrainedRun(NamedTuple):
    """A finished run and what it was trained on."""

    folder: Path
    config: TrainConfig
    rendering: Rendering
    tokenizer: Any
    rows: Sequence[Row]
    """A row for each sequence."""
    sequences: Sequence[RenderedRow]
    dropped: int
    """Rows of the mix that were too long and not trained on."""
    mix: Path
    mix_id: str
    model: str
    """"name@fingerprint" of the trained model."""
    snapshots: Sequence[RunSnapshot]


def open_run(folder: Path) -> TrainedRun:
    """Read a finished run.

    Raises:
        DataError: if there is no finished run, it was trained with another loss, or its mix is gone or was changed.
    """
    told, config = _told(folder)
    require_plain_loss(config, folder)
    if not (folder / "manifest.json").is_file():
        raise DataError(f"{folder}: the run is not finished; repeat `sft run` with its config")
    place = Path(place_of_run(folder, "mix_places", config.mix))
    mix = read_mix(place)
    if mix.mix_id != told["mix_id"]:
        raise DataError(
            f"{place}: another mix ({mix.mix_id}) than the run was trained on ({told['mix_id']}); build that one again"
        )
    weights = locate(str(folder))
    tokenizer = load_tokenizer(weights)
    rendering = Rendering(
        config.loss_on,
        config.control_tokens,
        told.get("prompt_date"),
        config.markup,
        config.chat_template_kwargs,
    )
    proof = prove(tokenizer, mix.rows, config.max_length, config.overlong, rendering)
    return TrainedRun(
        folder, config, rendering, tokenizer, proof.kept, proof.rendered, len(proof.overlong), place,
        mix.mix_id, f"{weights.name}@{fingerprint(weights)}", snapshots(folder),
    )  # fmt: skip


def open_runs(folders: Sequence[Path]) -> list[TrainedRun]:
    """Read finished runs that differ in their seed alone.

    Raises:
        DataError: as `open_run` does, and if a run differs from the first in more than its seed, or two have the same seed.
    """
    runs = [open_run(folder) for folder in folders]
    told = [_told(folder)[0] for folder in folders]
    for run, its in zip(runs[1:], told[1:], strict=True):
        different = [name for name in differences(its, told[0]) if name != "seed"]
        if not different and [row.row_id for row in run.rows] != [row.row_id for row in runs[0].rows]:
            different = ["set of rows under max_length"]
        if different:
            raise DataError(
                f"{run.folder}: was trained with a different {', '.join(different)} than {folders[0]}; --also takes runs of the same "
                "config with another seed"
            )
    first: dict[int, TrainedRun] = {}
    for run in runs:
        if (known := first.setdefault(run.config.seed, run)) is not run:
            raise DataError(
                f"{run.folder}: is the same run as {known.folder} (seed {run.config.seed}) and would count twice; --also takes runs of the "
                "same config with another seed"
            )
    return runs


def config_of_run(folder: Path) -> TrainConfig:
    """The recipe of a run, with its base and its mix where they are now.

    Raises:
        DataError: if the folder is not a run, or one on preference pairs.
    """
    config = _told(folder)[1]
    require_rows(config, folder)
    places = {
        "model": base_of_run(folder, config.model),
        "mix": place_of_run(folder, "mix_places", config.mix),
    }
    return config.model_copy(update=places)


def require_rows(config: TrainConfig, place: Path) -> None:
    """Check that a run is trained on rows; raises DataError where it is on preference pairs."""
    if config.dpo:
        raise DataError(
            f"{place}: trains on preference pairs (dpo), whose loss is of two traces together, so that no row has an influence of its own; "
            "name a run of `sft run` without `dpo:`"
        )


def require_plain_loss(config: TrainConfig, place: Path) -> None:
    """Check that a run's loss is the mean over the tokens of a row; raises DataError where it is another."""
    require_rows(config, place)
    if config.token_weights:
        raise DataError(
            f"{place}: trains with token_weights, which influences do not know: they are of the plain loss; "
            "name a run without token_weights, or measure the effect: sft attribute RUN --leave-out part"
        )


def _told(folder: Path) -> tuple[dict[str, Any], TrainConfig]:
    """What a run's folder says of it."""
    try:
        told = json.loads((folder / "run.json").read_bytes())
        return told, TrainConfig.model_validate(told["config"] | {"out": str(folder)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not a run ({error}); make one with: sft run CONFIG") from error


def rendered(run: TrainedRun, reply: Replied) -> RenderedRow:
    """A reply as the run would have trained on it, cut at its `max_length`.

    Raises:
        RenderError: as `render` does.
        DataError: if its prompt alone fills `max_length`, so that no token with loss is left.
    """
    tokens = _cut(run, reply)
    if not has_loss(tokens):
        raise DataError(
            f"{run.folder}: the prompt of a reply fills max_length ({run.config.max_length} tokens), so that nothing of the reply is left; "
            "train with a larger max_length"
        )
    return tokens


def has_loss(sequence: RenderedRow) -> bool:
    """Whether any token of a sequence carries loss."""
    return any(label != IGNORED for label in sequence.labels)


def _cut(run: TrainedRun, reply: Replied) -> RenderedRow:
    tokens = render(
        run.tokenizer, reply.prompt, reply.reasoning, reply.answer, reply.turns, reply.tools, run.rendering
    )
    return RenderedRow(
        tokens.input_ids[: run.config.max_length],
        tokens.labels[: run.config.max_length],
        tokens.prompt_length,
    )


class ReplayedModel:
    """The model of a run, which can be put back to each of its snapshots."""

    def __init__(self, run: TrainedRun) -> None:
        config, chosen = loading.settled(run.config)
        weights = locate(str(run.folder))
        dtype = "float32" if config.method == "full" else loading.low(config)
        how = loading.four_bits() if config.method == "qlora" else {}
        self._model = load_model(weights, dtype, **how).eval()
        if loading.on_cpu():
            use_threads(self._model.num_parameters(), chosen)
        elif config.method != "qlora":
            self._model.to(torch.accelerator.current_accelerator())
        self._trained = self._choose(run, weights.adapter_base is not None)
        self._scales: dict[str, torch.Tensor] = {}

    def _choose(self, run: TrainedRun, adapter: bool) -> dict[str, torch.nn.Parameter]:
        """Ask for gradients of what the run trained, in float32, and of nothing else."""
        kept = run.snapshots[0].weights().keys() if run.snapshots else None
        trained = {}
        for name, parameter in self._model.named_parameters():
            wanted = name in kept if kept is not None else not adapter or "lora_" in name
            parameter.requires_grad_(wanted)
            if wanted:
                parameter.data = parameter.data.float()
                trained[name] = parameter
        if not trained or (kept is not None and len(trained) != len(kept)):
            raise DataError(f"{run.folder}: its snapshots are of another model; train the run again")
        return trained

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(one.numel() for one in self._trained.values())

    def go_to(self, snapshot: RunSnapshot) -> None:
        """Put the trained weights back to a snapshot, and scale gradients as Adam did there."""
        for name, values in snapshot.weights().items():
            self._trained[name].data.copy_(values)
        self._scales = {
            name: (values.sqrt() + snapshot.epsilon).reciprocal().to(self._model.device)
            for name, values in snapshot.moments().items()
        }

    def gradient(self, sequence: RenderedRow) -> tuple[Gradient, float]:
        """The gradient of a sequence's mean loss per token, and that loss."""
        loss = self._loss(sequence)
        found = torch.autograd.grad(loss, list(self._trained.values()), materialize_grads=True)
        return {name: one.float() for name, one in zip(self._trained, found, strict=True)}, float(
            loss.detach()
        )

    def as_stepped(self, gradient: Gradient) -> Gradient:
        """A gradient in the direction that the optimiser goes for it: with Adam, each number over the root of its second moment."""
        if not self._scales:
            return gradient
        return {name: one * self._scales[name] for name, one in gradient.items()}

    def weighted_gradient(self, sequences: Sequence[tuple[RenderedRow, float]]) -> Gradient:
        """The sum of the gradients of some sequences, each times its weight."""
        total: dict[str, torch.Tensor] = {}
        for sequence, weight in sequences:
            for name, one in self.gradient(sequence)[0].items():
                total[name] = total[name].add_(one, alpha=weight) if name in total else one * weight
        return total

    def state(self, sequence: RenderedRow) -> tuple[torch.Tensor, float]:
        """The mean of the last hidden states over the tokens with loss, (width,), float32 on the CPU; and the loss."""
        with torch.no_grad():
            ids, labels = self._tensors(sequence)
            output = self._model(input_ids=ids, use_cache=False, output_hidden_states=True)
            state = output.hidden_states[-1][0, :-1][labels != IGNORED].float().mean(0).cpu()
            return state, float(_mean_loss(output.logits, labels))

    def _loss(self, sequence: RenderedRow) -> torch.Tensor:
        ids, labels = self._tensors(sequence)
        return _mean_loss(self._model(input_ids=ids, use_cache=False).logits, labels)

    def _tensors(self, sequence: RenderedRow) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens, (1, tokens), and the label of what each but the last predicts, (tokens - 1,)."""
        device = self._model.device
        ids = torch.tensor([sequence.input_ids], device=device)
        return ids, torch.tensor(sequence.labels[1:], device=device)


def _mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), labels, ignore_index=IGNORED)


def fitting(run: TrainedRun, wanted: Sequence[Behaviour]) -> list[Behaviour]:
    """Behaviours without the replies whose prompt fills the run's `max_length`; those that are left share the weight of their side.

    Raises:
        DataError: if a side of a behaviour becomes empty.
        RenderError: as `render` does.
    """
    found = [_fitting(run, one) for one in wanted]
    lost = sum(len(one.replies) for one in wanted) - sum(len(one.replies) for one in found)
    if lost:
        console.say(
            f"attribute: {lost} of {sum(len(one.replies) for one in wanted)} replies are left out: "
            f"their prompt fills max_length ({run.config.max_length} tokens)"
        )
    return found


def _fitting(run: TrainedRun, behaviour: Behaviour) -> Behaviour:
    kept = [one for one in behaviour.replies if has_loss(_cut(run, one))]
    if len(kept) == len(behaviour.replies):
        return behaviour
    found = Behaviour(behaviour.name, tuple(_rescaled(one, behaviour.replies, kept) for one in kept))
    for side, before, after in zip(("with", "without"), behaviour.sides, found.sides, strict=True):
        if before and not after:
            raise DataError(
                f"{behaviour.name}: the prompts of all {before} replies {side} the measure fill the run's max_length "
                f"({run.config.max_length} tokens); choose another --suite or --category, or train with a larger max_length"
            )
    return found


def _rescaled(reply: Replied, all_replies: Sequence[Replied], kept: Sequence[Replied]) -> Replied:
    """A reply with its part of what its whole side counts."""
    whole, left = (
        sum(one.weight for one in of if one.weight * reply.weight > 0) for of in (all_replies, kept)
    )
    return reply._replace(weight=reply.weight * whole / left)


def replies_of(run: TrainedRun, replies: Sequence[Replied]) -> list[tuple[RenderedRow, float]]:
    """Replies as weighted sequences."""
    return [(rendered(run, one), one.weight) for one in replies]


def places(run: TrainedRun) -> Mapping[str, object]:
    """What identifies the model and rows of a run in a cache."""
    return {"model": run.model, "mix_id": run.mix_id, "sequences": len(run.sequences)}
