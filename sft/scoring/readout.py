"""`sft probe`: the predictions of PreSafe's head before the model reasons, on prompts of an evaluation corpus. Nothing is generated.

A diagnostic for runs with a `presafe:` block. With `detach: true` only the head was trained, on a model trained without it: the
baseline for what the model already represents. A reading is one forward pass over a prompt, at the layer and position the head was
trained on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curation import console
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store, write_file
from curation.engines.weights import load_model, load_tokenizer, locate
from schemas.errors import DataError, RecipeError
from sft.proof.families import check_family
from sft.proof.markup import ToldMarkup
from sft.proof.templated import DEFAULT, Rendering, prompt_text
from sft.scoring.statistics import auroc
from sft.scoring.suites import PLAIN

KINDS = ("harmful", "benign", "math", "code")
RESAMPLES = 1000


class HeadReading(NamedTuple):
    """The head's prediction for one prompt."""

    prompt_id: str
    kind: str
    attack: str
    refusal: float
    """Probability that the model should refuse."""


class Group(NamedTuple):
    """Prompts of one kind and attack."""

    kind: str
    attack: str
    prompts: int
    refusal: float
    """Mean probability."""
    low: float
    high: float


class Readout(NamedTuple):
    """The result of `sft probe`."""

    groups: list[Group]
    auroc: float | None
    """AUROC of harmful against benign prompts; None if either kind is missing."""
    low: float | None
    high: float | None


def read(run_folder: Path, corpus_dir: Path, *, out: Path | None = None) -> Readout:
    """Evaluate the head on every prompt of a corpus.

    Args:
        run_folder: a finished run with a head.
        corpus_dir: a corpus with prompts of kind harmful, benign, math or code.
        out: JSONL file for each prompt's reading, with ids and no text.

    Raises:
        DataError: if the run has no head.
        EngineError: if its model cannot be loaded.
        RecipeError: if the corpus has no such prompts.
    """
    from sft.training.presafe import load_head

    head, where = load_head(run_folder)
    prompts = _prompts(Store(corpus_dir))
    weights = locate(str(run_folder))
    tokenizer = load_tokenizer(weights)
    rendering = _rendering(run_folder)
    check_family(tokenizer, rendering)
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    model = load_model(weights, "auto" if accelerator else "float32").to(accelerator or "cpu").eval()
    readings = list(read_prompts(model, tokenizer, head.to(model.device), where, prompts, rendering))
    if out:
        write_file(out, b"".join(json.dumps(one._asdict()).encode() + b"\n" for one in readings))
    return read_out(readings)


def _rendering(run_folder: Path) -> Rendering:
    """Told marks and settings of the chat template, as the run was trained with."""
    try:
        config = json.loads((run_folder / "run.json").read_bytes())["config"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{run_folder}: not a run ({error}); name a folder of sft run") from error
    told = config.get("markup")
    return Rendering(
        markup=told and ToldMarkup.model_validate(told), settings=config.get("chat_template_kwargs")
    )


def read_out(readings: Sequence[HeadReading], seed: int = 0) -> Readout:
    """Means by kind and attack, and the AUROC of harmful against benign; 95 % intervals by bootstrap over prompts."""
    draw = np.random.default_rng(seed)
    names = sorted(
        {(one.kind, one.attack) for one in readings}, key=lambda name: (KINDS.index(name[0]), name[1])
    )
    groups = [
        _group(name, [one.refusal for one in readings if (one.kind, one.attack) == name], draw)
        for name in names
    ]
    harmful, benign = (
        np.array([one.refusal for one in readings if one.kind == kind]) for kind in ("harmful", "benign")
    )
    if not len(harmful) or not len(benign):
        return Readout(groups, None, None, None)
    drawn = [
        auroc(draw.choice(harmful, len(harmful)), draw.choice(benign, len(benign))) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Readout(groups, auroc(harmful, benign), float(low), float(high))


def document(readout: Readout) -> dict[str, Any]:
    """The readout for JSON."""
    return {
        "groups": [group._asdict() for group in readout.groups],
        "auroc": readout.auroc,
        "low": readout.low,
        "high": readout.high,
    }


def show(readout: Readout) -> None:
    """Print the readout as a table."""
    columns = ["kind", "attack", "prompts", "P(refusal)", "95 %"]
    rows = [
        {"kind": g.kind, "attack": g.attack, "prompts": g.prompts, "P(refusal)": f"{g.refusal:.3f}", "95 %": f"{g.low:.3f} - {g.high:.3f}"}
        for g in readout.groups
    ]  # fmt: skip
    console.show_rows(columns, rows)
    if readout.auroc is None:
        console.say("AUROC of harmful against benign: needs prompts of both kinds")
    else:
        console.result(
            f"AUROC of harmful against benign: {readout.auroc:.3f} ({readout.low:.3f} - {readout.high:.3f})"
        )


def _group(name: tuple[str, str], values: Sequence[float], draw: "np.random.Generator") -> Group:
    given = np.array(values)
    means = draw.choice(given, (RESAMPLES, len(given))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Group(*name, len(given), float(given.mean()), float(low), float(high))


def _prompts(corpus: Store) -> list[dict[str, Any]]:
    query = "select prompt_id, text, turns, tools, kind, attack from prompts where list_contains($kinds, kind) order by prompt_id"
    prompts: list[dict[str, Any]] = select(open_tables(corpus), query, {"kinds": list(KINDS)}).to_pylist()
    if not prompts:
        raise RecipeError(
            f"{corpus.root}: no prompts of kind {', '.join(KINDS)}; import some with: curate ingest"
        )
    return prompts


def read_prompts(
    model: Any,
    tokenizer: Any,
    head: Any,
    where: Mapping[str, Any],
    prompts: Sequence[Mapping[str, Any]],
    rendering: Rendering = DEFAULT,
) -> Iterator[HeadReading]:
    """What the head reads in the state of each prompt, at the layer and position that it was trained on."""
    import torch

    from sft.training.presafe import Listener

    listener = Listener(model, where["layer"])
    with (
        console.progress(
            "probe",
            total=len(prompts),
            unit="prompts",
            keeps="nothing is written yet; run the same command again",
        ) as advance,
        torch.no_grad(),
    ):
        for prompt in prompts:
            asked = prompt_text(
                tokenizer, prompt["text"], prompt.get("turns"), prompt.get("tools"), rendering
            )
            ids = tokenizer.encode(asked, add_special_tokens=False)
            model(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
            states = listener.take()[0]
            state = states[-1:] if where["position"] == "last" else states.mean(0, keepdim=True)
            refusal = float(torch.sigmoid(head(state))[0])
            yield HeadReading(
                prompt["prompt_id"], prompt["kind"], prompt["attack"] or PLAIN, round(refusal, 6)
            )
            advance()
    listener.close()
