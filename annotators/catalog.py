"""Annotators by name: our own, those of installed packages, and any function of a module.

A name is a family ("rules"), or a family and a variant ("judge:gpt-oss", "guard:qwen3guard"); the current version is in the
Annotator itself. Each entry is a factory that imports lazily, so that using one annotator never loads the libraries of
another.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from annotators import any_kind
from annotators.base import Annotator, Model
from annotators.mapping import renamed
from annotators.structure.grammar import Structure
from schemas.choices import meant
from schemas.codebooks import Codebook, shipped, shipped_names
from schemas.errors import RecipeError, explained

PLUG_INS = "lrm_curate.annotators"
"""Entry point group: an entry's name is the annotator's name, its object a factory."""


class JudgeSettings(NamedTuple):
    """What a user may choose for annotators that call a model."""

    guard_prompt: str | None = None
    """The published prompt of a guard."""
    samples: int = 1
    """Replies of the judge per trace."""
    codebooks: Mapping[str, Codebook] = MappingProxyType({})
    """Codebooks by name, beside the shipped ones."""
    earlier: Sequence[Codebook] = ()
    """Versions of these that are no longer in force."""
    structures: Mapping[str, Structure] = MappingProxyType({})
    """Reasoning structures by the part of the annotator's name after the colon."""


DEFAULTS = JudgeSettings()


def _rules() -> Annotator:
    from annotators.rules import annotator

    return annotator()


def _overrefusal() -> Annotator:
    from annotators.rules.overrefusal import annotator

    return annotator()


def _judge(model: Model, alias: str, settings: JudgeSettings) -> Annotator:
    from annotators.judge.judge import llm_judge

    return llm_judge(model, alias, settings.samples)


def _structure(which: str, settings: JudgeSettings) -> Annotator:
    from annotators.structure import annotator, shipped, shipped_names

    if which in settings.structures:
        return annotator(settings.structures[which])
    if which not in shipped_names():
        raise RecipeError(
            f"no structure {which!r}{meant(which, shipped_names())}; shipped: {', '.join(shipped_names())}"
        )
    return annotator(shipped(which))


def _codebook(model: Model, which: str, settings: JudgeSettings) -> Annotator:
    from annotators.judge.judge import llm_judge
    from annotators.judge.rubric import generated

    name, _, alias = which.partition(":")
    known = {one: shipped(one) for one in shipped_names()} | dict(settings.codebooks)
    if name not in known:
        raise RecipeError(
            f"annotator 'codebook:{which}': no such codebook{meant(name, known)}; there are {', '.join(known)}; "
            "add yours with: curate codebook add FILE"
        )
    return llm_judge(model, alias, settings.samples, generated(known[name]))


def _guard(model: Model, which: str, settings: JudgeSettings) -> Annotator:
    from annotators.guards import guard

    return guard(model, which, settings.guard_prompt, tuple(settings.codebooks.values()), settings.earlier)


def _embedding() -> Annotator:
    from annotators.embedding import embedding

    return embedding()


def _ensemble() -> Annotator:
    from annotators.embedding import ensemble

    return ensemble()


def _adapted_embedding(folder: Path) -> Annotator:
    from annotators.embedding import embedding

    return embedding(folder)


def _adapted_ensemble(folder: Path) -> Annotator:
    from annotators.embedding import ensemble

    return ensemble(folder)


@cache
def _refusals() -> Annotator:
    """The shipped one, opened once."""
    from annotators.refusals import refusals

    return refusals()


def _trained_refusals(folder: Path) -> Annotator:
    from annotators.refusals import refusals

    return refusals(folder)


def _safety_classifier(folder: str) -> Annotator:
    from annotators.safety_classifier import safety_classifier

    return safety_classifier(Path(folder))


FACTORIES: dict[str, Callable[[], Annotator]] = {
    "rules": _rules,
    "overrefusal": _overrefusal,
    "embedding": _embedding,
    "ensemble": _ensemble,
    "refusals": _refusals,
}
ADAPTABLE: dict[str, Callable[[Path], Annotator]] = {
    "embedding": _adapted_embedding,
    "ensemble": _adapted_ensemble,
    "refusals": _trained_refusals,
}
"""Factories of annotators that a folder of `curate train-annotator` or `train-refusals` replaces: embedding:FOLDER."""
MODEL_FACTORIES: dict[str, Callable[[Model, str, JudgeSettings], Annotator]] = {
    "judge": _judge,
    "codebook": _codebook,
    "guard": _guard,
}
"""Factories of annotators that call a model; they get the part after the colon. codebook:NAME judges a codebook's entries."""


def get(name: str, model: Model | None = None, settings: JudgeSettings = DEFAULTS) -> Annotator:
    """The annotator of this name.

    Args:
        name: a family, `family:which`, an entry point's name, or `module:function`.
        model: the model it may call.
        settings: of those that call it.

    Raises:
        RecipeError: if there is no such annotator, or it needs a model and none is given.
    """
    family, _, which = name.partition(":")
    if name in FACTORIES:
        return FACTORIES[name]()
    if family in MODEL_FACTORIES:
        if model is None:
            raise RecipeError(f"annotator {name!r} needs a model; set --model, and --base-url for a server")
        return MODEL_FACTORIES[family](model, which, settings)
    if family == any_kind.FAMILY and which:
        return any_kind.of_any_kind(get(which, model, settings))
    if family in ADAPTABLE and which:
        return ADAPTABLE[family](Path(which))
    if family == "structure":
        return _structure(which, settings)
    if family == "safety_classifier":
        return _safety_classifier(which)
    if plug_in := _plug_ins().get(name):
        return renamed(_build(name, plug_in.load(), model), settings.codebooks.values(), settings.earlier)
    if which:
        made = _build(name, _function(name, family, which), model)
        return renamed(made, settings.codebooks.values(), settings.earlier)
    raise RecipeError(
        f"unknown annotator {name!r}; available: {', '.join(names())}, or module:function{meant(name, names())}"
    )


def names() -> list[str]:
    """Every annotator that has a name; families that need a variant come with one in capitals."""
    families = (f"{family}:NAME" for family in MODEL_FACTORIES)
    others = ("judge", "safety_classifier:FOLDER", "structure:NAME", f"{any_kind.FAMILY}:NAME")
    return sorted({*FACTORIES, *others, *families, *_plug_ins()})


def _plug_ins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=PLUG_INS)}


def _function(name: str, module: str, function: str) -> Any:
    if str(Path.cwd()) not in sys.path:  # a user's own module is usually here
        sys.path.append(str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ImportError) and error.name != module and (missing := explained(error)):
            raise missing from error
        raise RecipeError(
            f"annotator {name!r}: {error}; name a function as module:function, from an installed module or one in the current folder"
        ) from error


def _build(name: str, factory: Any, model: Model | None) -> Annotator:
    if not callable(factory):
        raise RecipeError(f"annotator {name!r} is not a function; name one that returns an Annotator")
    wants_model = bool(inspect.signature(factory).parameters)
    if wants_model and model is None:
        raise RecipeError(f"annotator {name!r} needs a model; set --model, and --base-url for a server")
    built: object = factory(model) if wants_model else factory()
    if not isinstance(built, Annotator):
        raise RecipeError(
            f"annotator {name!r}: the function returned {type(built).__name__}, not an annotators.base.Annotator"
        )
    return built
