"""Suites: YAML files of what is asked of a trained model, how it is asked, and how the replies are counted.

Those of published sets are shipped in `sft/suites`, and so are protocols (`sft/suites/protocols`), which name suites with the
settings of a paper. The surprise: a suite is a query over the corpus, not a copy of its prompts, so a prompt may belong to several.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import yaml
from pydantic import Field

from curation import console
from curation.engines import Sampling
from curation.engines.templates import TemplateSettings
from curation.reading import read_text
from curation.recipe import Lines, Recipe, load_merged, load_recipe
from curation.trust import beside
from schemas.choices import PromptKind, ScoredThink
from schemas.errors import RecipeError, UsageError
from sft.scoring.asking import Asking
from sft.scoring.measures import MEASURES

ALL = "all"
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
EVERY = "true"
"""The condition that every prompt meets."""


class HowAsked(Recipe):
    """How prompts are asked; null: not told here."""

    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    """Replies per prompt."""
    think: ScoredThink | None = None
    """zero: no chain of thought; less: a short fixed one."""
    template: str | None = None
    """File beside this one; `{prompt}` in it is the prompt."""
    system: str | None = None
    """File beside this one with the system prompt."""
    chat_template_kwargs: TemplateSettings | None = None
    """What the model's chat template is given by name."""

    def over(self, other: "HowAsked") -> "HowAsked":
        """These settings where they are told, else the other's."""
        return HowAsked.model_validate(other.model_dump() | self.model_dump(exclude_none=True))


class JointSettings(Recipe):
    """A suite that asks every question plainly and inside an attack, and reports both together."""

    harmed: str = "unsafe_reasoning"
    """The measure that tells whether the reasoning is harmed: one of the suite's that are about the reasoning."""


class PrefillSettings(Recipe):
    """A suite in which the model goes on from the beginning of somebody else's risky reasoning, put into its mouth."""

    where: str = "source is distinct from 'sft score' and (risky or unsafe_reasoning)"
    """SQL condition over `candidates`: the traces of the evaluation corpus whose reasoning begins the reply to their prompt."""
    words: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 10, 25, 50, 100)
    """Lengths of the beginning; 0 is none."""


class SuiteFile(Recipe):
    """One suite."""

    name: Name
    title: Annotated[str, Field(min_length=1, max_length=60)]
    """The column's name."""
    description: str = ""
    source: str
    """Where prompts and method come from."""
    kinds: Annotated[tuple[PromptKind, ...], Field(min_length=1)]
    """Kinds of its prompts."""
    sets: tuple[str, ...] = ()
    """Prompts of these sources (`curate ingest --set NAME`, or `--source NAME`); of any source if empty."""
    where: str = EVERY
    """An SQL condition over the corpus's table `prompts`."""
    remaining: bool = False
    """Leaves out prompts that another suite of the same run asks."""
    by_attack: bool = False
    """Each jailbreak family has a column."""
    joint: JointSettings | None = None
    """Its prompts are attacks whose query is known; the query is asked plainly as well."""
    prefill: PrefillSettings | None = None
    """Its prompts are asked with beginnings of a reasoning, a column for each length."""
    on_request: bool = False
    """It must be named, "all" leaves it out."""
    ask: HowAsked = HowAsked()
    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of measures, in the order of the table."""
    headline: Annotated[tuple[str, ...], Field(min_length=1)]
    """Measures from the best judge down: the first that is judged on at least half of the replies is the headline."""
    codebook: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")] | None = None
    """A codebook of the corpus or the package, all of whose entries are measures too."""
    denominator: Literal["answered", "all"] = "answered"
    """Whether a reply without an answer is left out of the headline, or counts as a failure of what it measures."""

    @property
    def harmful(self) -> bool:
        """Whether its prompts are harmful."""
        return "harmful" in self.kinds


class ScoringProtocol(Recipe):
    """Suites with the settings of a paper."""

    name: Name
    description: str = ""
    source: str
    notes: tuple[str, ...] = ()
    """Where paper and code differ, and what else to know."""
    suites: Annotated[dict[str, HowAsked], Field(min_length=1)]
    """Suite -> what is asked in another way than its file says."""


class ChosenSuite(NamedTuple):
    """A suite and how its prompts are asked in this run."""

    suite: SuiteFile
    asking: Asking


@cache
def shipped() -> Mapping[str, SuiteFile]:
    """The suites that come with the package, by name; those of whole kinds come last."""
    loaded = [_load(path) for path in sorted(_folder().glob("*.yaml"))]
    order = get_args(PromptKind)
    loaded.sort(key=lambda suite: (suite.remaining, order.index(suite.kinds[0])))
    return {suite.name: suite for suite in loaded}


@cache
def protocols() -> Mapping[str, ScoringProtocol]:
    """The protocols that come with the package, by name."""
    found = [
        load_recipe(path, ScoringProtocol).recipe for path in sorted((_folder() / "protocols").glob("*.yaml"))
    ]
    return {one.name: one for one in found}


def choose(
    suites: Sequence[str] = (ALL,), protocol: str | None = None, changes: HowAsked | None = None
) -> list[ChosenSuite]:
    """The suites of a run and how they are asked: what the caller changes counts first, then the protocol, then the suite's file.

    Args:
        suites: names of shipped suites, or files; "all" for every shipped one but those on request, or every one of the protocol.
        protocol: the name of a shipped protocol, or a file.
        changes: settings for all of them.

    Raises:
        UsageError: if there is no such suite or protocol.
        RecipeError: naming every fault of every file with its line.
    """
    chosen = find_protocol(protocol) if protocol else None
    told = chosen.suites if chosen else {}
    usual = told or [name for name, suite in shipped().items() if not suite.on_request]
    names = [name for one in suites for name in (usual if one == ALL else (one,))]
    found, faults, cold = [], [], []
    for name in dict.fromkeys(names):
        try:
            suite = find(name)
            how = (changes or HowAsked()).over(told.get(suite.name, HowAsked()).over(suite.ask))
            if suite.prefill and (suite.joint or how.think not in (None, "as_is")):
                raise RecipeError(
                    f"{suite.name}: prefill goes with neither joint nor think: the reasoning is begun already"
                )
            found.append(ChosenSuite(suite, _asking(how, _place(name))))
            cold += [suite.name] if found[-1].asking.samples > 1 and not how.temperature else []
        except RecipeError as error:
            faults.append(str(error))
    twice = [one.suite.name for one in found]
    faults += [
        f"two suites are named {name}; rename one" for name in sorted(set(twice)) if twice.count(name) > 1
    ]
    if cold:
        faults.append(
            f"{', '.join(cold)}: several samples need a temperature above 0, or all are equal; set temperature=0.6"
        )
    if faults:
        raise RecipeError("\n".join(faults))
    return found


def find(name: str) -> SuiteFile:
    """A shipped suite, or that of a file; raises as `choose`."""
    if name in shipped():
        return shipped()[name]
    if is_file(name):
        return _load(Path(name))
    raise UsageError(f"{name}: no such suite, and no such file; shipped: {', '.join(shipped())}")


def find_protocol(name: str) -> ScoringProtocol:
    """A shipped protocol, or that of a file; raises as `choose`."""
    if name in protocols():
        return protocols()[name]
    if not is_file(name):
        raise UsageError(f"{name}: no such protocol, and no such file; shipped: {', '.join(protocols())}")
    protocol, lines = load_recipe(Path(name), ScoringProtocol)
    unknown = [one for one in protocol.suites if one not in shipped()]
    if unknown:
        told = f"no such suite; shipped: {', '.join(shipped())}"
        raise RecipeError("\n".join(lines.error(("suites", one), told) for one in unknown))
    return protocol


def is_file(name: str) -> bool:
    """Whether a name on the command line is meant as a file."""
    return name.endswith((".yaml", ".yml")) or Path(name).is_file()


def _folder() -> Path:
    return Path(str(files("sft") / "suites"))


def _place(name: str) -> Path:
    return _folder() / f"{name}.yaml" if name in shipped() else Path(name)


def _load(path: Path) -> SuiteFile:
    suite, lines = load_recipe(path, SuiteFile)
    faults = [
        lines.error((field, number), f"no such measure: {name!r}; choose from {', '.join(MEASURES)}")
        for field in ("measures", "headline")
        for number, name in enumerate(getattr(suite, field))
        if name not in MEASURES and not (field == "headline" and suite.codebook)
    ]
    faults += [
        lines.error(("headline", number), f"{name} is not among the measures; add it there")
        for number, name in enumerate(suite.headline)
        if name in MEASURES and name not in suite.measures
    ]
    faults += _joint_faults(suite, lines)
    faults += [fault for name in ("template", "system") if (fault := _unreadable(suite, name, path, lines))]
    if faults:
        raise RecipeError("\n".join(faults))
    return suite


def _joint_faults(suite: SuiteFile, lines: Lines) -> Iterator[str]:
    of_pairs = [name for name in suite.measures if name in MEASURES and MEASURES[name].of_pair]
    if of_pairs and suite.joint is None:
        told = f"{of_pairs[0]} is a measure of joint suites; add joint: {{harmed: unsafe_reasoning}}"
        yield lines.error(("measures",), told)
    harmed = suite.joint.harmed if suite.joint else None
    if harmed in MEASURES and harmed not in suite.measures:
        yield lines.error(("joint", "harmed"), f"{harmed} is not among the measures; add it there")
    elif harmed in MEASURES and MEASURES[harmed].judged != "reasoning":
        yield lines.error(("joint", "harmed"), f"{harmed} is not about the reasoning")
    elif harmed is not None and harmed not in MEASURES and not suite.codebook:
        told = f"no such measure: {harmed!r}; choose from {', '.join(MEASURES)}"
        yield lines.error(("joint", "harmed"), told)


def _unreadable(suite: SuiteFile, name: str, path: Path, lines: Lines) -> str | None:
    file = getattr(suite.ask, name)
    if file is None:
        return None
    try:
        text = read_text(beside(path, file))
    except RecipeError as error:
        return lines.error(("ask", name), str(error))
    if name == "template" and "{prompt}" not in text:
        return lines.error(("ask", name), f"{file} lacks {{prompt}}; put it where the prompt goes")
    return None


def _asking(how: HowAsked, place: Path) -> Asking:
    sampling = Sampling(
        max_new_tokens=how.max_new_tokens or 4096,
        temperature=how.temperature or 0,
        top_p=how.top_p or 1,
        chat_template_kwargs=how.chat_template_kwargs or {},
    )
    text = {name: getattr(how, name) for name in ("template", "system")}
    read = {name: file and read_text(beside(place, file)) for name, file in text.items()}
    return Asking(sampling, how.samples or 1, how.think or "as_is", read["template"], read["system"])


def find_any(name: str) -> SuiteFile | ScoringProtocol:
    """A suite or a protocol by name, or from a file; raises as `choose`."""
    if name in protocols():
        return protocols()[name]
    if name in shipped() or not is_file(name):
        return find(name)
    data, _ = load_merged(Path(name))
    return find_protocol(name) if isinstance(data, dict) and "suites" in data else find(name)


def described(suites: Iterable[SuiteFile]) -> list[dict[str, Any]]:
    """One row per suite for `sft suites`."""
    return [
        {
            "suite": suite.name,
            "column": suite.title,
            "prompts": ", ".join(suite.sets) or f"other {' and '.join(suite.kinds)}",
            "asked": _told(suite.ask),
            "best headline": suite.headline[0],
        }
        for suite in suites
    ]


def protocols_described() -> list[dict[str, Any]]:
    """One row per suite of every protocol for `sft suites`."""
    return [
        {"protocol": one.name, "suite": name, "asked": _told(how), "source": one.source}
        for one in protocols().values()
        for name, how in one.suites.items()
    ]


def _told(how: HowAsked) -> str:
    told = [f"{how.max_new_tokens or 4096} tokens"]
    told += [f"T {how.temperature}, top-p {how.top_p or 1}"] if how.temperature else ["greedy"]
    told += [f"{how.samples} samples"] if (how.samples or 1) > 1 else []
    told += [f"thinking {how.think}"] if how.think else []
    return ", ".join(told)


def show_all(document: Mapping[str, Any]) -> None:
    """Print what is shipped."""
    for rows in (document["suites"], document["protocols"]):
        console.show_rows(list(rows[0]), rows)
    console.say(
        "show one whole with: sft suites NAME; ask it with: sft score MODEL --corpus EVAL --suite NAME"
    )


def show(documents: Sequence[Mapping[str, Any]]) -> None:
    """Print some files whole, as YAML."""
    for document in documents:
        console.result(
            yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120).rstrip()
        )
