"""The tensors of two models side by side, read in pieces from safetensors.

The surprise: a LoRA run has no weights of its own to subtract. Its update is `scale * B @ A` (Hu et al. 2021, arXiv 2106.09685), so
it is exact even where the base is stored in bfloat16, and norms and singular values follow from the small factors.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from curation.engines.weights import Weights
from schemas.errors import DataError

PIECE = 1 << 23
"""Numbers of a matrix that are in memory at once: 64 MiB in float64."""
PREFIX = "base_model.model."


class Matrix(Protocol):
    """A weight or an update as a matrix of float64, read piece by piece; a vector is a matrix of one row."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def piece(self, rows: slice, columns: slice) -> Any:
        """A torch tensor of these rows and columns."""


class TensorOnDisk(NamedTuple):
    """A tensor in a file."""

    file: Any
    """An open safetensors file."""
    name: str
    dtype: str
    sizes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; further dimensions are flattened into the columns."""
        return (
            (self.sizes[0], math.prod(self.sizes[1:])) if len(self.sizes) > 1 else (1, math.prod(self.sizes))
        )

    def piece(self, rows: slice, columns: slice) -> Any:
        """These rows and columns, as float64."""
        part = self.file.get_slice(self.name)
        if len(self.sizes) == 2:
            return part[rows, columns].double()
        whole = part[rows] if len(self.sizes) > 2 else part[:]
        return whole.double().reshape(-1, self.shape[1])[:, columns]


class Subtraction(NamedTuple):
    """What a tensor has become, less what it was."""

    after: TensorOnDisk
    before: TensorOnDisk

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.after.shape

    def piece(self, rows: slice, columns: slice) -> Any:
        """These rows and columns of the difference."""
        return self.after.piece(rows, columns) - self.before.piece(rows, columns)


class LowRank(NamedTuple):
    """`left @ right`, the update of a LoRA adapter with its scale inside `left`."""

    left: Any
    right: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.left.shape[0], self.right.shape[1]

    def piece(self, rows: slice, columns: slice) -> Any:
        """These rows and columns of the product."""
        return self.left[rows] @ self.right[:, columns]


Update = Subtraction | LowRank


def pieces(matrix: Matrix, longest: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Places that cover a matrix along its longer side, so that each piece has the whole of the shorter one.

    Args:
        matrix: the matrix.
        longest: numbers in a piece; `PIECE` by default.
    """
    height, width = matrix.shape
    step = max(1, (longest or PIECE) // max(1, min(height, width)))
    whole = slice(0, None)
    if height >= width:
        yield from ((slice(at, min(at + step, height)), whole) for at in range(0, height, step))
    else:
        yield from ((whole, slice(at, min(at + step, width))) for at in range(0, width, step))


def stored(folder: Path) -> dict[str, TensorOnDisk]:
    """Every tensor of a model folder, by name.

    Raises:
        DataError: if there is no safetensors file, or one is damaged.
    """
    from safetensors import SafetensorError, safe_open

    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise DataError(f"{folder}: no *.safetensors file; `sft diff` reads no other format")
    tensors: dict[str, TensorOnDisk] = {}
    for path in paths:
        try:
            file: Any = safe_open(str(path), framework="pt")
            for name in file.keys():  # noqa: SIM118 - not a dict
                part = file.get_slice(name)
                tensors[name] = TensorOnDisk(file, name, str(part.get_dtype()), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path}: damaged ({error}); copy the model again") from error
    return tensors


def updates(after: Weights, before: Mapping[str, TensorOnDisk]) -> dict[str, Update]:
    """What a model changed, by the base's names of the tensors.

    Args:
        after: a model, or an adapter.
        before: tensors of the base.

    Raises:
        DataError: if the two are not the same architecture, naming what differs, or the adapter is of a kind that cannot be read.
    """
    there = stored(after.folder)
    if after.adapter_base:
        return _adapter(after.folder, there, before)
    # A tied output matrix is stored by one of the two and left out by the other.
    missing = sorted(set(before) ^ set(there) - {"lm_head.weight"})
    missing = [name for name in missing if name != "lm_head.weight"]
    if missing:
        raise DataError(
            f"{after.folder}: another architecture than its base: {len(missing)} tensors are in one only, such as {missing[0]}"
        )
    changed: dict[str, Update] = {}
    for name in sorted(set(before) & set(there)):
        _same_shape(after.folder, name, there[name].sizes, before[name].sizes)
        changed[name] = Subtraction(there[name], before[name])
    return changed


def _adapter(
    folder: Path, there: Mapping[str, TensorOnDisk], before: Mapping[str, TensorOnDisk]
) -> dict[str, Update]:
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_bytes())
        kind, dora = config["peft_type"], bool(config.get("use_dora"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not an adapter's configuration ({error})") from error
    if kind != "LORA" or dora:
        raise DataError(
            f"{path}: a {'DoRA' if dora else kind} adapter; only LoRA is read. Merge it with `sft export`, then compare the folders"
        )
    changed: dict[str, Update] = {}
    for key, tensor in there.items():
        name = key.removeprefix(PREFIX)
        if ".lora_B" in name:
            continue
        if ".lora_A" not in name:
            name = name.replace(".modules_to_save", "").replace(".base_layer", "")
            _known(folder, name, before)
            _same_shape(folder, name, tensor.sizes, before[name].sizes)
            changed[name] = Subtraction(tensor, before[name])
            continue
        module = name.split(".lora_A")[0].split(".lora_embedding_A")[0]
        _known(folder, f"{module}.weight", before)
        changed[f"{module}.weight"] = _low_rank(
            folder, there, key, scale_of(config, module), before[f"{module}.weight"].sizes
        )
    return changed


def _low_rank(
    folder: Path, there: Mapping[str, TensorOnDisk], key: str, scale: float, sizes: tuple[int, ...]
) -> LowRank:
    other = there.get(key.replace(".lora_A", ".lora_B"))
    if other is None:
        raise DataError(f"{folder}: {key} has no lora_B beside it; the adapter is damaged")
    whole = slice(0, None)
    update = LowRank(other.piece(whole, whole) * scale, there[key].piece(whole, whole))
    if update.shape != sizes and update.shape[::-1] == sizes:  # GPT-2's Conv1D keeps its weights transposed
        update = LowRank(update.right.T, update.left.T)
    _same_shape(folder, key, update.shape, sizes)
    return update


def scale_of(config: Mapping[str, Any], module: str) -> float:
    """The factor of an adapter's product for a module: alpha / r, or alpha / sqrt(r) with rank-stabilised LoRA.

    Args:
        config: adapter_config.json.
        module: the module's name in the base, such as model.layers.0.self_attn.q_proj.
    """
    rank = _pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)


def _pattern(patterns: Mapping[str, Any] | None, module: str, otherwise: Any) -> Any:
    """A setting of one module; its key is a suffix of the module's name, as PEFT's keys mostly are."""
    return next(
        (value for key, value in (patterns or {}).items() if f".{module}".endswith(f".{key.lstrip('^.')}")),
        otherwise,
    )


def _known(folder: Path, name: str, before: Mapping[str, TensorOnDisk]) -> None:
    if name not in before:
        raise DataError(f"{folder}: the adapter changes {name}, which its base does not have")


def _same_shape(folder: Path, name: str, here: tuple[int, ...], there: tuple[int, ...]) -> None:
    if here != there:
        raise DataError(
            f"{folder}: {name} is {list(here)} and {list(there)} in the base; vocabularies of different size cannot be compared"
        )
