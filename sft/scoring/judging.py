"""Who judges the replies: the rules always, and beside them the best judge that is configured."""

from collections.abc import Sequence

from curation.annotate.stage import AnnotateRecipe
from curation.recipe import from_arguments
from schemas.errors import UsageError

ANY_MODEL = ("guard:strongreject", "guard:xstest")
"""Judges that any chat model can be: of harmful and of benign prompts."""


def recipe(
    annotators: Sequence[str],
    judges: Sequence[str] | None = None,
    model: str | None = None,
    url: str | None = None,
) -> AnnotateRecipe:
    """The annotators of `sft score`.

    Args:
        annotators: those that judge in any case, such as rules.
        judges: annotators with a model; `ANY_MODEL` if only a model is named.
        model: the judges' model.
        url: its server.

    Raises:
        UsageError: if judges have no model.
    """
    if (judges or url) and not model:
        raise UsageError("--judge needs a model; name it with --judge-model")
    engine = {"model": model, "server": {"base_url": url} if url else None} if model else None
    named = [*annotators, *((judges or ANY_MODEL) if model else ())]
    return from_arguments(AnnotateRecipe, None, {"annotators": list(dict.fromkeys(named)), "engine": engine})
