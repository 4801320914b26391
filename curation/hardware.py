"""What the hardware does well: the precision of a model's weights, and the threads that run it. The one place that decides either.

The surprise: on a CPU without units for bfloat16 torch emulates it, 6 to 40 times slower than float32, which looks like a hang;
and threads that wait for each other make a small model on a busy machine ten times slower than one thread.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from curation import console
from schemas.choices import Dtype

THREADS = "OMP_NUM_THREADS"
"""The environment variable that overrides the choice of threads."""
BIND = "VLLM_CPU_OMP_THREADS_BIND"
"""vLLM's: which cores its threads are bound to; bound, it takes no notice of `THREADS`."""
PER_THREAD = 50_000_000
"""Parameters that keep a thread busy."""
HALF = ("bfloat16", "float16")


class Precision(NamedTuple):
    """The precision of a model's weights."""

    dtype: str
    """bfloat16, float16 or float32; auto for "as it was saved"."""
    why: str


class Threads(NamedTuple):
    """How many threads run a model on the CPU."""

    number: int
    cores: int
    why: str


@cache
def computes_bf16() -> bool:
    """Whether the CPU has units for bfloat16 (AVX512-BF16, AMX, Arm's BF16)."""
    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.10
    if ask is None:
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return any(has is True and name.endswith("bf16") for name, has in ask().items())


def precision(asked: Dtype, accelerator: bool, saved: str | None = None) -> Precision:
    """The precision to run a model in.

    Args:
        asked: the setting.
        accelerator: whether the model runs on one; there weights stay as they were saved.
        saved: the type of the saved weights, where these are not to be rounded; null lets float32 become bfloat16.
    """
    if asked != "auto":
        return Precision(asked, "as set")
    if accelerator:
        return Precision("auto", "as saved")
    if not computes_bf16():
        return Precision("float32", "this CPU has no bfloat16 units")
    if saved in (None, *HALF):
        return Precision("bfloat16", "this CPU has bfloat16 units")
    return Precision("float32", "as saved")


def saved_dtype(folder: Path) -> str:
    """The type of a model's saved weights by its config.json; float32 where that does not say."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        told = config.get("dtype") or config.get("torch_dtype")
    except (OSError, ValueError, AttributeError):
        told = None
    return told if isinstance(told, str) else "float32"


def threads(parameters: int) -> Threads:
    """The threads for a model: one per 50 million parameters, no more than cores are idle; OMP_NUM_THREADS overrides it."""
    available = cores()
    if (told := os.environ.get(THREADS, "")).isdecimal() and int(told):
        return Threads(int(told), available, f"{THREADS} is set")
    useful = max(1, parameters // PER_THREAD)
    idle = max(1, available - _busy())
    count = min(useful, idle)
    if count == available:
        return Threads(count, available, "all of them")
    why = "a small model" if useful <= idle else "the others are busy"
    return Threads(count, available, f"{why}; {THREADS} overrides it")


def use_threads(parameters: int, chosen: Precision) -> None:
    """Have torch run a model on the CPU with as many threads as suit it, and say so together with its precision, once."""
    import torch

    found = threads(parameters)
    torch.set_num_threads(found.number)
    tell(chosen, found)


def bind_threads(parameters: int) -> Threads:
    """Have vLLM's worker run with as many threads as suit a model: set in the environment, which the worker inherits."""
    found = threads(parameters)
    if found.number < found.cores or THREADS in os.environ:
        os.environ.setdefault(BIND, "nobind")
        if os.environ[BIND] == "nobind":
            os.environ.setdefault(THREADS, str(found.number))
    return found


@cache
def tell(chosen: Precision, found: Threads) -> None:
    """Say the choices; the same ones once in a process."""
    counted = f"{found.number} thread{'s' if found.number > 1 else ''} on {found.cores} cores ({found.why})"
    console.say(f"model: {chosen.dtype} ({chosen.why}), {counted}")


def cores() -> int:
    """The cores this process may use, by its affinity and its control group's quota."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        found = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(found, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no control groups, or no quota ("max")
        return found


def _busy() -> int:
    """Cores that others use now: what was running this minute, unless it is over (our own stage before this one, for one)."""
    try:
        load = os.getloadavg()[0]
        running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return 0
    return round(min(load, running))
