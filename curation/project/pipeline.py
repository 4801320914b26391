"""`curate run`: one file that names the steps from raw files to mixes, each of them the stage of its own command.

Nothing is remembered here that the corpus does not know: an ingest of the same bytes by the same recipe has left its manifest there, an
annotator and a comparison know what they have seen, and a mix is built again only if the corpus, its recipe or its files changed. So a
run that was killed is finished by the same command.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import Field, model_validator

from curation import console
from curation.annotate import stage as annotating
from curation.corpus.store import MARKER, Store
from curation.ingest import benchmarks
from curation.ingest import stage as ingesting
from curation.ingest.recipe import IngestRecipe
from curation.mix import build, folder, lock, summary
from curation.mix.recipe import MixRecipe
from curation.mix.sweep import Points, find_points
from curation.overlap.decontaminate import stage as decontaminating
from curation.overlap.dedup import stage as deduplicating
from curation.reading import read_model
from curation.recipe import Lines, Loaded, Recipe, load_recipe
from curation.trust import beside
from curation.versions import versions
from schemas.errors import CurateError, RecipeError, UsageError
from schemas.ids import content_id
from schemas.manifest import Manifest

STAGE = "run-mix"
HUB = "hf:"
BY_DEFAULT = ("dedup", "decontaminate")
"""Steps that do without settings: `dedup:` with nothing behind it asks for them."""
R = TypeVar("R", bound=Recipe)


class IngestStep(IngestRecipe):
    """Files, and how to read them: what `curate ingest --recipe` may be told."""

    files: list[str] = Field(default_factory=list)
    """Files and folders beside the pipeline file or below, or hf:NAME; none for a set on the hub."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.files and not self.set:
            raise ValueError("no input; name files, or an evaluation set as set: NAME")
        return self


class DecontaminateStep(decontaminating.DecontaminateRecipe):
    """Evaluation sets, and how to compare with them."""

    registry: str | None = None
    """A YAML file of evaluation sets; the shipped list of hub data sets where neither it nor `against` is given."""
    against: list[str] = Field(default_factory=list)
    """NAME=FILE:COLUMN texts."""
    only: list[str] = Field(default_factory=list)
    """Names to keep."""


class MixStep(Recipe):
    """A mix to build."""

    recipe: str
    """A recipe file beside the pipeline file or below, or the name of a shipped recipe."""
    out: str
    """Its folder; that of each point of a sweep is below it."""


class PipelineRecipe(Recipe):
    """What `curate run` reads. Steps run in this order; one that is not named is left out."""

    corpus: str = "corpus"
    """The corpus folder."""
    ingest: list[IngestStep] = Field(default_factory=list)
    annotate: annotating.AnnotateRecipe | None = None
    dedup: deduplicating.DedupRecipe | None = None
    decontaminate: DecontaminateStep | None = None
    mix: list[MixStep] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _named_steps(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: {} if value is None and key in BY_DEFAULT else value for key, value in data.items()}

    @model_validator(mode="after")
    def _some_step(self) -> Self:
        if not any((self.ingest, self.annotate, self.dedup, self.decontaminate, self.mix)):
            raise ValueError("names no step; write ingest, annotate, dedup, decontaminate or mix")
        return self


class PipelineStep(NamedTuple):
    """One step, ready to run."""

    name: str
    """The command that does the same."""
    title: str
    act: Callable[[], tuple[Manifest, bool | None]]
    """Does what is not done yet; returns the manifest, and whether there was anything to do."""


class DoneStep(NamedTuple):
    """What a step did."""

    step: str
    title: str
    fresh: bool | None
    """False if nothing had changed since an earlier run; null for stages that look row by row for what is left."""
    manifest: Manifest


def carry_out(path: Path) -> Iterator[DoneStep]:
    """Do the steps of a pipeline file one after the other, each when the next result is asked for.

    Every fault of the file, of the recipes that it names and of its input files is found before the first step writes anything.

    Raises:
        RecipeError: naming every fault.
        DataError: naming every input that cannot be read.
        CurateError: as the stages do.
    """
    planned = steps(path)
    for number, step in enumerate(planned, 1):
        console.say(f"run: {number} of {len(planned)}: {step.title}")
        manifest, fresh = step.act()
        if fresh is False:
            console.say(f"run: {step.title}: up to date")
        yield DoneStep(step.name, step.title, fresh, manifest)


def steps(path: Path) -> list[PipelineStep]:
    """The steps of a pipeline file; raises as `carry_out` does before its first step."""
    recipe, lines = load_recipe(path, PipelineRecipe)
    placed = FilesBeside(lines)
    corpus = placed.at(("corpus",), recipe.corpus)
    planned = [_ingest(placed, corpus, n, one) for n, one in enumerate(recipe.ingest)]
    if recipe.annotate:
        planned.append(_annotate(placed, corpus, recipe.annotate))
    if recipe.dedup:
        planned.append(_dedup(corpus, recipe.dedup))
    if recipe.decontaminate:
        planned.append(_decontaminate(placed, corpus, recipe.decontaminate))
    planned += [step for n, one in enumerate(recipe.mix) for step in _mix(placed, corpus, n, one)]
    outs = [one.out.rstrip("/") for one in recipe.mix]
    placed.faults += [
        lines.error(("mix", n, "out"), f"{out} is the folder of an earlier mix; give each its own")
        for n, out in enumerate(outs)
        if out in outs[:n]
    ]
    if placed.faults:
        raise RecipeError("\n".join(dict.fromkeys(placed.faults)))
    if not recipe.ingest and not (corpus / MARKER).is_file():
        raise RecipeError(lines.error(("corpus",), f"{corpus} is not a corpus; add an ingest step"))
    return planned


class FilesBeside:
    """Where the files that a pipeline names are: beside it. Collects what is wrong with them."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.faults: list[str] = []
        self._faulty: set[tuple[str | int, ...]] = set()

    def at(self, location: tuple[str | int, ...], name: str) -> Path:
        """The path of a name; one that leads elsewhere is a fault."""
        try:
            return beside(self.lines.file_of(location), name)
        except RecipeError as error:
            self.faults.append(self.lines.error(location, str(error)))
            self._faulty.add(_step_at(location))
            return Path(name)

    def attempt(self, location: tuple[str | int, ...], act: Callable[[], Any]) -> Any:
        """What a function returns; an error that it raises is a fault at this place, and gives null."""
        if _step_at(location) in self._faulty:
            return None  # a name that was not accepted is not opened
        try:
            return act()
        except CurateError as error:
            self.faults += [self.lines.error(location, line) for line in str(error).splitlines()]
            return None


def _step_at(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return location[: 2 if location[0] in ("ingest", "mix") else 1]


def _plain(model: type[R], step: R) -> R:
    """The settings of a stage without what only a pipeline names, so that its manifest is that of the command."""
    return model.model_validate(step.model_dump(include=set(model.model_fields), by_alias=True))


def _ingest(placed: FilesBeside, corpus: Path, number: int, step: IngestStep) -> PipelineStep:
    names = [
        name if name.startswith(HUB) else str(placed.at(("ingest", number, "files", n), name))
        for n, name in enumerate(step.files)
    ]
    settings = _plain(IngestRecipe, step)
    placed.attempt(("ingest", number), lambda: ingesting.make_plans(names, settings))

    def act() -> tuple[Manifest, bool | None]:
        if known := ingesting.done_before(corpus, names, settings):
            return known, False
        return ingesting.run(corpus, names, settings), True

    return PipelineStep("ingest", f"ingest {' '.join(step.files) or step.set}", act)


def _annotate(placed: FilesBeside, corpus: Path, settings: annotating.AnnotateRecipe) -> PipelineStep:
    if settings.guard_prompt:
        found = placed.at(("annotate", "guard_prompt"), str(settings.guard_prompt))
        settings = settings.model_copy(update={"guard_prompt": found})
    placed.attempt(("annotate",), settings.open)
    title = f"annotate {','.join(settings.annotators)}"
    return PipelineStep("annotate", title, lambda: (annotating.run(corpus, settings), None))


def _dedup(corpus: Path, settings: deduplicating.DedupRecipe) -> PipelineStep:
    return PipelineStep("dedup", "dedup", lambda: (deduplicating.run(corpus, settings), None))


def _decontaminate(placed: FilesBeside, corpus: Path, step: DecontaminateStep) -> PipelineStep:
    here = ("decontaminate",)
    registry = placed.at((*here, "registry"), step.registry) if step.registry else None
    entries: dict[str, benchmarks.Entry] = (
        placed.attempt(here, lambda: benchmarks.load_registry(registry, step.against, step.only)) or {}
    )
    named = {} if registry is None and not step.against else entries
    local = {
        name: entry.model_copy(update={"file": str(placed.at(here, entry.file))})
        for name, entry in named.items()
        if not entry.file.startswith(HUB)
    }
    settings = _plain(decontaminating.DecontaminateRecipe, step)
    chosen = entries | local

    def act() -> tuple[Manifest, bool | None]:
        return decontaminating.run(corpus, benchmarks.read(chosen), settings), None

    return PipelineStep("decontaminate", f"decontaminate against {', '.join(chosen)}", act)


def _mix(placed: FilesBeside, corpus: Path, number: int, step: MixStep) -> Iterator[PipelineStep]:
    here = ("mix", number, "recipe")
    of_a_file = "/" in step.recipe or step.recipe.endswith((".yaml", ".yml"))
    name = str(placed.at(here, step.recipe)) if of_a_file else step.recipe
    out = placed.at(("mix", number, "out"), step.out)
    points: Points = placed.attempt(here, lambda: _points(name, of_a_file)) or {}
    for point, loaded in points.items():
        target = out / point if len(points) > 1 else out
        yield PipelineStep("build-mix", f"build-mix {point}", _Building(corpus, loaded, target).act)


def _points(name: str, of_a_file: bool) -> Points:
    if of_a_file and not Path(name).is_file():
        raise UsageError(f"{name}: no such file")
    return find_points(name)


class _Building(NamedTuple):
    """Builds a mix unless the one in its folder is what would come of it."""

    corpus: Path
    loaded: Loaded[MixRecipe]
    out: Path

    def act(self) -> tuple[Manifest, bool | None]:
        corpus = Store(self.corpus)
        state = self._state(corpus)
        if built := self._built(corpus, state):
            return built, False
        manifest = build.run(self.corpus, self.loaded, out=self.out)
        corpus.write_manifest(state.model_copy(update={"outputs": manifest.outputs}))
        return manifest, True

    def _state(self, corpus: Store) -> Manifest:
        """All that decides the mix: recipe, files, versions, and the corpus down to the names of its parts, which never change."""
        now = summary.snapshot(corpus)
        decides = {
            "mix": self.loaded.recipe.model_dump(mode="json"),
            "files": lock.hashes(self.loaded),
            "versions": versions("lrm-curate", "duckdb", "pyarrow"),
            "parts": content_id(now.parts),
        }
        return Manifest(stage=STAGE, inputs=now.inputs, recipe=decides)

    def _built(self, corpus: Store, state: Manifest) -> Manifest | None:
        """The manifest of the mix in the folder, if it is the one that an earlier run built of the same."""
        path = corpus.manifest_path(state)
        if not path.is_file():
            return None
        try:
            manifest = folder.read_manifest(self.out)
            folder.check_files(self.out, manifest)
        except CurateError:
            return None  # not there any more, or changed by hand: build-mix says what it thinks of the folder
        return manifest if read_model(path, Manifest).outputs == manifest.outputs else None
