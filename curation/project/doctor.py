"""`curate doctor`: what this machine has and lacks for each part of the work, with the command that brings what is missing.

Nothing heavy is imported: what is installed is known from its metadata, a GPU from its driver, and only the hub is asked anything.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from curation import console
from curation.corpus import memory
from schemas import __version__
from schemas.errors import EXTRAS, NAMES, RecipeError

State = Literal["ok", "missing", "limited"]
FOR: dict[str, str] = {
    "train": "sft, models in process, math scores",
    "models": "annotators embedding, ensemble and refusals; semantic dedup",
    "vllm": "generating and judging with vLLM in process",
    "review": "human review in Argilla",
    "view": "curate view, a local page of traces",
    "ray": "several machines",
    "qlora": "sft run with method: qlora",
    "wandb": "sft run with report_to: wandb",
    "trackio": "sft run with report_to: trackio",
    "notebook": "data frames of the Python API",
    "inspect": "sft score --export inspect",
}
"""Extra -> what wants it, in the order in which they are shown."""
LEAST_MEMORY = 4 * 10**9
LEAST_DISK = 10 * 10**9
SECONDS = 10.0
"""How long a program or the hub may take to answer."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class MachinePart(NamedTuple):
    """One thing that a machine has or lacks."""

    name: str
    state: State
    found: str
    """What there is."""
    needed_for: str
    command: str | None
    """What to run or do about it; null where nothing is missing."""


def read() -> list[MachinePart]:
    """Look at everything; takes a few seconds where the hub does not answer."""
    return [*_base(), *map(_extra, FOR), _gpu(), _torch(), _sandbox(), _browser(), *_hub()]


def show(parts: list[MachinePart]) -> None:
    """Print what was found, and what to do about what is not there."""
    rows = [
        {"": part.state, "part": part.name, "found": part.found, "for": part.needed_for} for part in parts
    ]
    console.show_rows(["", "part", "found", "for"], rows)
    lacking = [part for part in parts if part.command]
    for part in lacking:
        console.result(f"{part.name}: {part.command}")
    if not lacking:
        console.say("doctor: nothing is missing")


def _base() -> Iterator[MachinePart]:
    yield MachinePart("python", "ok", platform.python_version(), "everything", None)
    yield MachinePart("lrm-curate", "ok", __version__, "everything", None)
    yield MachinePart("processors", "ok", str(len(os.sched_getaffinity(0))), "annotate uses all", None)
    yield _memory()
    yield _memory_limit()
    yield _disk("disk", Path.cwd(), "name another place for the corpus with --corpus")
    yield _disk("temporary disk", Path(tempfile.gettempdir()), "set TMPDIR to a folder on a larger disk")


def _memory() -> MachinePart:
    size = _bytes_of_memory()
    enough = size >= LEAST_MEMORY
    todo = None if enough else f"set {memory.VARIABLE} to half of it, such as {memory.VARIABLE}=1GB"
    return MachinePart("memory", "ok" if enough else "limited", _gigabytes(size), "large corpora", todo)


def _bytes_of_memory() -> int:
    """What this process may use: the machine's memory, or a container's part of it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    texts = [path.read_text(encoding="ascii").strip() for path in limits if path.is_file()]
    return min([whole, *(int(text) for text in texts if text.isdecimal())])


def _memory_limit() -> MachinePart:
    name, wanted_for = memory.VARIABLE, "memory of ingest, annotate, dedup, build-mix"
    try:
        limit = memory.limit()
    except RecipeError as error:
        return MachinePart(name, "limited", str(error), wanted_for, f"export {name}={memory.DEFAULT}")
    if limit > _bytes_of_memory():
        found = f"{_gigabytes(limit)}, more than there is"
        return MachinePart(name, "limited", found, wanted_for, f"export {name}=1GB")
    return MachinePart(name, "ok", _gigabytes(limit), wanted_for, None)


def _disk(name: str, folder: Path, todo: str) -> MachinePart:
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_DISK
    return MachinePart(
        name,
        "ok" if enough else "limited",
        f"{_gigabytes(free)} free",
        "corpora: 2.4 GB a million traces",
        None if enough else todo,
    )


def _extra(extra: str) -> MachinePart:
    """An extra is there if every module is that it brings."""
    modules = [module for module, extras in EXTRAS.items() if extra in extras]
    missing = [NAMES.get(module, module.replace("_", "-")) for module in modules if find_spec(module) is None]
    state: State = "missing" if missing else "ok"
    told = f"lacks {', '.join(missing)}" if missing else "installed"
    command = f"pip install 'lrm-curate[{extra}]'" if missing else None
    return MachinePart(f"extra {extra}", state, told, FOR[extra], command)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> MachinePart:
    wanted_for = "models of 1B and more in process; training"
    todo = "use a server instead, such as: curate generate --model NAME --base-url http://HOST:8000/v1"
    if not (program := shutil.which("nvidia-smi")):
        return MachinePart("GPU", "missing", "no NVIDIA driver", wanted_for, todo)
    code, told = _run(program, "--query-gpu=name,memory.total", "--format=csv,noheader")
    gpus = [line.strip() for line in told.splitlines() if line.strip()]
    if code or not gpus:
        return MachinePart("GPU", "limited", f"nvidia-smi: {told.strip()[:200]}", wanted_for, todo)
    return MachinePart("GPU", "ok", "; ".join(gpus), wanted_for, None)


def _torch() -> MachinePart:
    """A CPU build beside a GPU is the usual reason why training takes forever."""
    built, wanted_for = _version("torch"), "training and models in process"
    if built is None:
        command = "pip install 'torch==2.13.*'"
        return MachinePart("torch", "missing", "not installed", wanted_for, command)
    if "+cpu" in built and shutil.which("nvidia-smi"):
        todo = "pip install --force-reinstall 'torch==2.13.*' from the index of your CUDA version (pytorch.org, Get Started)"
        return MachinePart("torch", "limited", f"{built}, a CPU build beside a GPU", wanted_for, todo)
    return MachinePart("torch", "ok", built, wanted_for, None)


def _sandbox() -> MachinePart:
    wanted_for = "sft score of coding problems"
    if not (program := shutil.which("bwrap")):
        return MachinePart(
            "bubblewrap", "missing", "not on the PATH", wanted_for, "apt-get install bubblewrap (Debian, Ubuntu)"
        )  # fmt: skip
    code, told = _run(program, "--unshare-all", "--ro-bind", "/", "/", "true")
    if code:
        todo = "allow user namespaces, or run where they are allowed; code is not scored without"
        return MachinePart("bubblewrap", "limited", told.strip()[:200], wanted_for, todo)
    return MachinePart("bubblewrap", "ok", _run(program, "--version")[1].strip(), wanted_for, None)


def _browser() -> MachinePart:
    wanted_for = "the tests of pages; pages open in any browser"
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found:
        return MachinePart("chromium", "ok", Path(found).name, wanted_for, None)
    return MachinePart(
        "chromium", "missing", "not on the PATH", wanted_for, "apt-get install chromium (Debian)"
    )


def _hub() -> Iterator[MachinePart]:
    import httpx
    from huggingface_hub import constants, get_token

    wanted_for, todo = (
        "models and data sets by name (hf:NAME)",
        "name local folders and files instead, or set HF_ENDPOINT to a mirror",
    )
    if constants.HF_HUB_OFFLINE:
        found = "HF_HUB_OFFLINE is set: it is not asked"
        yield MachinePart("hub", "limited", found, wanted_for, "unset HF_HUB_OFFLINE")
    else:
        try:
            answer = httpx.head(constants.ENDPOINT, timeout=SECONDS, follow_redirects=True)
            reached, found = answer.status_code < 400, f"answers with status {answer.status_code}"
        except httpx.HTTPError as error:
            reached, found = False, f"no answer ({type(error).__name__})"
        state: State = "ok" if reached else "missing"
        yield MachinePart("hub", state, found, wanted_for, None if reached else todo)
    logged_in = get_token() is not None
    yield MachinePart(
        "hub login", "ok" if logged_in else "missing", "a token is stored" if logged_in else "no token",
        "gated models; curate push", None if logged_in else "hf auth login",
    )  # fmt: skip


def _run(*command: str) -> tuple[int, str]:
    """The exit code of a program and all that it says; one that cannot be run or hangs has failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout + done.stderr


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.1f} GB"
