"""`sft diff`: where training changed a model: how far each weight moved, in how many directions, and whether another run moved it likewise.

The relative update is the Frobenius norm of the change over that of the base's tensor; shares are of the squared norm of the whole change,
so they add up to 1 (PreSafe, arXiv 2603.17368, Fig. 5, shows the same by layer and module).
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from curation import console
from curation.engines.weights import Weights, base_of_run, fingerprint, locate
from schemas.errors import DataError
from sft.update import measures
from sft.update.tensors import TensorOnDisk, Update, stored, updates

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block|layer)\.(\d+)\.")


class Moved(BaseModel):
    """How one tensor, or a group of them, changed."""

    model_config = ConfigDict(frozen=True)

    name: str
    layer: int | None = Field(description="Number of the transformer layer; null outside of them.")
    module: str = Field(description="The tensor's name without its layer, such as self_attn.q_proj.")
    parameters: int
    relative: float | None = Field(
        description="Norm of the change over the norm of the base; null where the base is 0."
    )
    share: float = Field(description="Of the squared norm of the whole change, 0 to 1.")
    changed: float | None = Field(description="Share of numbers that differ at all; null for LoRA.")
    effective_rank: float | None = Field(
        description="Null for vectors, groups, and where ranks were not asked for."
    )
    stable_rank: float | None
    cosine: float | None = Field(
        description="To the other run's change; null without one, or where one is 0."
    )
    rounding: float = Field(
        description="Relative change that the stored type alone can cause; 0 if it is the base's."
    )


class WeightUpdate(BaseModel):
    """What training did to a model's weights."""

    model_config = ConfigDict(frozen=True)

    run: str
    base: str
    other: str | None
    relative: float = Field(description="Of all compared tensors together.")
    cosine: float | None
    untouched: int = Field(description="Tensors of the base that did not change at all.")
    tensors: list[Moved] = Field(description="Tensors that changed, largest share first.")
    layers: list[Moved]
    modules: list[Moved]


class Measured(NamedTuple):
    """A tensor's raw numbers; groups are sums of their squares."""

    name: str
    parameters: int
    square: float
    weight: float
    changed: float | None
    ranks: measures.Directions | None
    inner: float
    other: float
    """Squared norm of the other run's change."""
    rounding: float


def compare(
    run: str, base: str | None = None, other: str | None = None, *, ranks: bool = True
) -> WeightUpdate:
    """Compare a run's weights with its base, and its change with another run's.

    Args:
        run: a run, a model folder or an adapter.
        base: the model it started from; by default what the run or adapter names.
        other: another run or model from the same base.
        ranks: also find singular values, which takes most of the time with full fine-tuning.

    Raises:
        DataError: if the base is not known, a file is damaged, or the models differ in architecture.
        EngineError: if there is no such model.
    """
    after = locate(run)
    before = locate(base or _base_of(Path(run), after))
    tensors = stored(before.folder)
    changed = updates(after, tensors)
    theirs = updates(locate(other), tensors) if other else {}
    with console.progress("diff", total=len(tensors), unit="tensors") as advance:
        measured = [
            _counted(advance, _measure(name, changed.get(name), base_tensor, theirs.get(name), ranks))
            for name, base_tensor in tensors.items()
        ]
    return _document(after, before, other, measured)


def _counted(advance: console.Advance, measured: Measured) -> Measured:
    advance()
    return measured


def _measure(
    name: str, update: Update | None, base: TensorOnDisk, other: Update | None, ranks: bool
) -> Measured:
    # A tensor that only one of the runs changed still counts in the norms of its group.
    size = measures.size(update, base) if update else measures.Size(0.0, measures.norm(base), 0.0)
    moved = update if size.update > 0 else None
    return Measured(
        name=name,
        parameters=math.prod(base.sizes),
        square=size.update**2,
        weight=size.weight**2,
        changed=size.changed,
        ranks=measures.directions(moved) if moved and ranks and len(base.sizes) > 1 else None,
        inner=measures.inner(moved, other) if moved and other else 0.0,
        other=measures.inner(other, other) if other else 0.0,
        rounding=measures.rounding(moved) if moved else 0.0,
    )


def _base_of(run: Path, after: Weights) -> str:
    if after.adapter_base:
        return after.adapter_base
    try:
        return base_of_run(run, str(json.loads((run / "run.json").read_bytes())["config"]["model"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{run}: does not say which model it started from; name it: sft diff {run} BASE"
        ) from error


def _document(
    after: Weights,
    before: Weights,
    other: str | None,
    measured: Sequence[Measured],
) -> WeightUpdate:
    moved = [one for one in measured if one.square]
    whole = sum(one.square for one in moved)
    total = _group("all", None, "all", measured, whole)
    return WeightUpdate(
        run=f"{after.name}@{fingerprint(after)}",
        base=f"{before.name}@{fingerprint(before)}",
        other=locate(other).name if other else None,
        relative=total.relative or 0.0,
        cosine=total.cosine,
        untouched=len(measured) - len(moved),
        tensors=sorted(
            (_group(one.name, layer_of(one.name), module_of(one.name), [one], whole) for one in moved),
            key=lambda one: (-one.share, one.name),
        ),
        layers=_groups(measured, layer_of, whole),
        modules=_groups(measured, module_of, whole),
    )


def _groups(
    measured: Iterable[Measured], key: Callable[[str], int | str | None], whole: float
) -> list[Moved]:
    members: dict[int | str | None, list[Measured]] = {}
    for one in measured:
        members.setdefault(key(one.name), []).append(one)
    found = []
    for group, ones in members.items():
        layer = group if isinstance(group, int) else None
        name = (
            "outside the layers" if group is None else f"layer {group}" if isinstance(group, int) else group
        )
        found.append(_group(name, layer, group if isinstance(group, str) else "all", ones, whole))
    return sorted(found, key=lambda one: (one.layer is None, one.layer or 0, one.name))


def _group(name: str, layer: int | None, module: str, ones: Sequence[Measured], whole: float) -> Moved:
    square, weight = sum(one.square for one in ones), sum(one.weight for one in ones)
    norms = math.sqrt(square) * math.sqrt(sum(one.other for one in ones))
    parameters = sum(one.parameters for one in ones)
    told = [one.changed for one in ones if one.changed is not None]
    ranks = ones[0].ranks if len(ones) == 1 else None
    return Moved(
        name=name,
        layer=layer,
        module=module,
        parameters=parameters,
        relative=math.sqrt(square / weight) if weight else None,
        share=square / whole if whole else 0.0,
        changed=sum((one.changed or 0.0) * one.parameters for one in ones) / parameters
        if len(told) == len(ones)
        else None,
        effective_rank=ranks.effective_rank if ranks else None,
        stable_rank=ranks.stable_rank if ranks else None,
        cosine=sum(one.inner for one in ones) / norms if norms else None,
        rounding=max((one.rounding for one in ones), default=0.0),
    )


def layer_of(name: str) -> int | None:
    """The number of the layer in a tensor's name; null outside the layers."""
    place = LAYER.search(name)
    return int(place[1]) if place else None


def module_of(name: str) -> str:
    """A tensor's name without the layer and "weight": `model.layers.3.mlp.up_proj.weight` is mlp.up_proj."""
    place = LAYER.search(name)
    inside = name[place.end() :] if place else name.removeprefix("model.")
    return inside.removesuffix(".weight")


def heat_map(update: WeightUpdate) -> Mapping[str, Mapping[int, Moved]]:
    """The changed matrices by module and layer, for the page; modules in the order of their share."""
    rows: dict[str, dict[int, Moved]] = {}
    for one in update.tensors:
        if one.layer is not None:
            rows.setdefault(one.module, {})[one.layer] = one
    return rows


def write_page(update: WeightUpdate, out: Path) -> None:
    """Write an HTML page with the heat map and the tables.

    Raises:
        CorpusError: if the file cannot be written.
    """
    from curation.corpus.store import write_file
    from curation.page import render

    rows = heat_map(update)
    layers = sorted({layer for cells in rows.values() for layer in cells})
    largest = max((one.relative or 0.0 for cells in rows.values() for one in cells.values()), default=0.0)
    page = render(
        "sft.update",
        "diff.html",
        title="Weight update",
        update=update,
        rows=rows,
        layers=layers,
        largest=largest,
    )
    write_file(out, page.encode())


def show(update: WeightUpdate) -> None:
    """Print the layers, the modules and the tensors that changed most."""
    compared = f"; cosine to {update.other} {_number(update.cosine)}" if update.other else ""
    console.result(
        f"{update.run} moved {100 * update.relative:.3g} % from {update.base}{compared}; {update.untouched} tensors untouched"
    )
    for title, ones in (
        ("layer", update.layers),
        ("module", update.modules),
        ("tensor", update.tensors[:10]),
    ):
        rows = [_row(title, one, update.other is not None) for one in ones]
        if rows:
            console.show_rows(list(rows[0]), rows)
    if noisy := sum(one.rounding > 0 and (one.relative or 0) < one.rounding for one in update.tensors):
        console.say(
            f"diff: {noisy} tensors moved less than rounding to the run's type can move them; compare with an export in float32"
        )


def _row(title: str, one: Moved, compared: bool) -> dict[str, str]:
    row = {title: one.name, "relative %": _number(one.relative, 100), "share %": _number(one.share, 100)}
    if title == "tensor":
        row["effective rank"] = _number(one.effective_rank)
    return {**row, "cosine": _number(one.cosine)} if compared else row


def _number(value: float | None, factor: float = 1) -> str:
    return "-" if value is None else f"{value * factor:.3g}"
