"""Every error a user may meet. A message says what is wrong, where, and what to do about it.

The command line prints these without a traceback and exits 1 (2 where the options are wrong); anything else is a bug and shows its traceback.
No message holds a secret: what it quotes of a server or of a setting is hidden (`schemas.hiding`).
"""

from schemas.hiding import hide


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
