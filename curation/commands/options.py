"""Every argument and option that more than one command takes, and how an option is checked against the names there are.

A test keeps them here: elsewhere an option stands in the command that alone takes it.
"""

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from schemas.choices import Dtype, EngineKind, ReviewOrder, Teacher, Tier, meant


def among(known: Callable[[], Collection[str]]) -> Callable[[str | None], str | None]:
    """A check that every name of a comma-separated option is known; a bad one is a usage error that lists the good ones.

    Args:
        known: gives the names; asked when the option is given, so that nothing is loaded for `--help`.
    """

    def check(value: str | None) -> str | None:
        names = known() if value else ()
        for name in listed(value) or ():
            if name not in names:
                raise typer.BadParameter(
                    f"{name!r} is not one of {', '.join(map(repr, names))}{meant(name, names) or '.'}"
                )
        return value

    return check


def listed(value: str | None) -> list[str] | None:
    """The names of a comma-separated option; null where it is not given."""
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


def template_settings(value: str | None) -> dict[str, Any] | None:
    """What `--chat-template-kwargs` says; null where it is not given."""
    if value is None:
        return None
    import json

    from curation.engines.templates import check_template_settings

    try:
        settings = json.loads(value)
        if not isinstance(settings, dict):
            raise ValueError("it is no JSON object")
        return check_template_settings(settings)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--chat-template-kwargs") from error


def check_annotators(value: str | None) -> str | None:
    """Check the names of annotators as `among` does; `family:variant` and `module:function` are left to the catalog."""
    from annotators import catalog

    among(lambda: [*catalog.names(), *(name for name in listed(value) or () if ":" in name)])(value)
    return value


def check_strategies(value: str | None) -> str | None:
    """Check the names of strategies as `among` does; `structure:NAME` is left to the stage."""
    among(lambda: [*strategy_names(), *(name for name in listed(value) or () if ":" in name)])(value)
    return value


def strategy_names() -> Collection[str]:
    """The shipped strategies."""
    from curation.generate.strategies import NAMES

    return NAMES


# The corpus, and what is printed.
CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
DEFAULT_CORPUS = Path("corpus")
JsonOption = Annotated[bool, typer.Option("--json", help="Print only one JSON document on stdout.")]
ShowOption = Annotated[bool, typer.Option("--show", help="Show texts unmasked.")]
AllOption = Annotated[
    bool, typer.Option("--all", help="Show everything that is known, not only what was found.")
]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file.", dir_okay=False)]

# Models.
ModelOption = Annotated[
    str | None, typer.Option(help="A model folder, a hub name, or a model name on the server.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Commit (40 hex digits) of a hub model.")]
EngineOption = Annotated[EngineKind | None, typer.Option(help="What runs the model.")]
DtypeOption = Annotated[
    Dtype | None, typer.Option(help="Precision of the weights; auto: what the hardware is fast in.")
]
UrlOption = Annotated[str | None, typer.Option(help="A server's address, such as http://localhost:8000/v1.")]
ReplicasOption = Annotated[
    int | None, typer.Option(help="Number of engines on the cluster, with --engine ray.")
]
TokenizerOption = Annotated[str | None, typer.Option(help="Tokenizer folder of the server's model.")]

# Generating and judging.
RecipeArgument = Annotated[Path | None, typer.Argument(help="A recipe file; options override it.")]
StrategiesOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated, also structure:NAME; see `curate strategies`.", callback=check_strategies
    ),
]
FilesOption = Annotated[list[Path] | None, typer.Option(help="Your own strategy file; repeatable.")]
TemperatureOption = Annotated[float | None, typer.Option(help="0 is greedy; 0.6 by default.")]
TopPOption = Annotated[float | None, typer.Option(help="0.95 by default.")]
TokensOption = Annotated[int | None, typer.Option(help="Maximum reply length in tokens; 4096 by default.")]
SeedOption = Annotated[int | None, typer.Option(help="0 by default.")]
TemplateKwargsOption = Annotated[
    str | None,
    typer.Option(help="JSON object for the model's chat template, such as '{\"enable_thinking\": true}'."),
]
PromptsOption = Annotated[
    str | None, typer.Option("--where", help="SQL condition over `prompts`, such as \"kind = 'harmful'\".")
]
LimitOption = Annotated[int | None, typer.Option(help="Maximum number of prompts, sampled by the seed.")]
AcceptOption = Annotated[
    str | None, typer.Option(help='SQL condition over `candidates`; "not risky" by default.')
]
JudgesOption = Annotated[
    str | None,
    typer.Option("--annotators", help="Comma-separated; rules by default.", callback=check_annotators),
]
LabellersOption = Annotated[
    str | None,
    typer.Option(
        "--annotators",
        help='Comma-separated names without versions, or "people" (their majority); all by default.',
    ),
]
PatternsOption = Annotated[
    str | None,
    typer.Option(help="Comma-separated entries or codebooks; the five risky patterns by default."),
]

CodebookFile = Annotated[Path, typer.Argument(help="A codebook's YAML file.", dir_okay=False)]
CodebookArgument = Annotated[
    str, typer.Argument(help="A file, or the name of a codebook of the corpus or the package.")
]

# Training annotators.
TeacherOption = Annotated[
    Teacher, typer.Option(help="refusals (of the traces that --where names) or kind (of the prompts).")
]
TaughtOption = Annotated[
    str, typer.Option("--where", help="SQL condition over candidates: the teacher's traces.")
]

# Mixes.
MixRecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped one; see `curate recipes`.")
]
MixArgument = Annotated[Path, typer.Argument(help="A mix folder.")]
RedactOption = Annotated[
    Tier, typer.Option(help="full, masked (harmful prompts and quotes from them), or ids (no text).")
]

# Review.
RoundOption = Annotated[
    str, typer.Option("--round", help="The round's name; also its workspace and dataset in Argilla.")
]
DEFAULT_ROUND = "round-1"
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the embedded server's database and passwords.", file_okay=False),
]
PortOption = Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")]
DEFAULT_PORT = 6900
ReviewersOption = Annotated[str | None, typer.Option(help="Comma-separated user names of reviewers.")]
NamesArgument = Annotated[str, typer.Argument(help="Comma-separated user names.")]
WheelsOption = Annotated[
    Path | None,
    typer.Option(help="Install the server offline from this folder of wheels.", file_okay=False),
]
ArgillaOption = Annotated[
    str | None, typer.Option("--url", envvar="ARGILLA_API_URL", help="Address of another Argilla server.")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        envvar="ARGILLA_API_KEY",
        help="Its API key; prefer the environment variable, since command lines are visible to other users.",
    ),
]
RoundTracesOption = Annotated[
    int | None, typer.Option("--traces", help="Maximum number of traces of a new round (200).")
]
RoundWhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        help="SQL condition over `candidates` for a new round; the whole review queue by default.",
    ),
]
ByOption = Annotated[
    ReviewOrder | None,
    typer.Option(help="What a new round shows first (disagreement)."),
]
AuditOption = Annotated[float | None, typer.Option(help="Share of a new round drawn at random (0.2).")]
OverlapOption = Annotated[int | None, typer.Option(help="Reviewers per trace of a new round (2).")]
AgainOption = Annotated[
    bool | None,
    typer.Option("--again", help="A new round may take traces that people have judged, to check them again."),
]
GoldOption = Annotated[
    int | None, typer.Option(help="Traces with known labels mixed into a new round, for everybody (0).")
]
GoldFromOption = Annotated[
    str | None,
    typer.Option(
        help="The round whose reviews are the known labels; decisions and unanimous reviews by default."
    ),
]
BlindOption = Annotated[float | None, typer.Option(help="Share of a new round without suggestions (0.1).")]
AskedOption = Annotated[
    str | None,
    typer.Option(
        "--codebook", help="The codebook whose entries a new round asks for; the five patterns by default."
    ),
]
RoundSeedOption = Annotated[
    int | None, typer.Option("--seed", help="Seed of a new round's random choices (42).")
]


# Options that several commands take together.
Given = dict[tuple[str, ...], Any]
"""Field path of a recipe -> what an option says of it; null where it is not given."""


class Field(NamedTuple):
    """An option, and the field of the recipe that it sets."""

    annotation: Any
    place: tuple[str, ...]
    read: Callable[[Any], Any] = lambda value: value


Group = Mapping[str, Field]
"""Options by the name of their parameter."""

MODEL: Group = {
    "model": Field(ModelOption, ("engine", "model")),
    "revision": Field(RevisionOption, ("engine", "revision")),
    "engine": Field(EngineOption, ("engine", "kind")),
    "dtype": Field(DtypeOption, ("engine", "dtype")),
    "base_url": Field(UrlOption, ("engine", "server", "base_url")),
    "tokenizer": Field(TokenizerOption, ("engine", "server", "tokenizer")),
    "replicas": Field(ReplicasOption, ("engine", "replicas")),
}
STRATEGIES: Group = {
    "strategies": Field(StrategiesOption, ("strategies",), listed),
    "strategy_file": Field(FilesOption, ("strategy_files",), lambda files: files or None),
}
SAMPLING: Group = {
    "temperature": Field(TemperatureOption, ("sampling", "temperature")),
    "top_p": Field(TopPOption, ("sampling", "top_p")),
    "max_new_tokens": Field(TokensOption, ("sampling", "max_new_tokens")),
    "seed": Field(SeedOption, ("sampling", "seed")),
    "chat_template_kwargs": Field(
        TemplateKwargsOption, ("sampling", "chat_template_kwargs"), lambda text: template_settings(text)
    ),
}
JUDGING: Group = {
    "accept": Field(AcceptOption, ("accept",)),
    "annotators": Field(JudgesOption, ("annotate", "annotators"), listed),
}
LABELLING: Group = {
    "annotators": Field(LabellersOption, ("annotators",), listed),
    "patterns": Field(PatternsOption, ("patterns",), listed),
}
ROUND: Group = {
    "codebook": Field(AskedOption, ("codebook",)),
    "traces": Field(RoundTracesOption, ("traces",)),
    "where": Field(RoundWhereOption, ("where",)),
    "by": Field(ByOption, ("by",)),
    "audit": Field(AuditOption, ("audit",)),
    "overlap": Field(OverlapOption, ("overlap",)),
    "again": Field(AgainOption, ("again",)),
    "gold": Field(GoldOption, ("gold",)),
    "gold_from": Field(GoldFromOption, ("gold_from",)),
    "blind": Field(BlindOption, ("blind",)),
    "seed": Field(RoundSeedOption, ("seed",)),
}


def within(block: str, group: Group) -> Group:
    """The options, for a recipe that has these fields in a block of its own."""
    return {name: field._replace(place=(block, *field.place)) for name, field in group.items()}


def taking(*groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some groups; it gets what they say as the argument `given`."""
    fields = {name: field for group in groups for name, field in group.items()}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            given = {field.place: field.read(values.pop(name)) for name, field in fields.items()}
            command(**values, given=given)

        own = [one for one in signature(command).parameters.values() if one.name != "given"]
        more = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=field.annotation)
            for name, field in fields.items()
        ]
        together = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own] + more
        run.__annotations__ = {one.name: one.annotation for one in together}
        run.__signature__ = signature(command).replace(parameters=together)  # type: ignore[attr-defined]
        return run

    return decorate


# Scoring.
PromptLimitOption = Annotated[
    int | None, typer.Option(help="Ask at most so many prompts of each suite, drawn by hash.", min=1)
]
ReplyTokensOption = Annotated[
    int | None,
    typer.Option(help="Maximum reply length, in place of the suites'; truncated replies are counted.", min=1),
]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated annotators with a model, such as guard:llama-guard; "
        "guard:strongreject,guard:xstest, which any chat model can be, if only the model is named."
    ),
]
ScoringAnnotatorsOption = Annotated[
    str | None,
    typer.Option(
        "--annotators",
        help="Comma-separated annotators, such as rules,ensemble; by default the rules and the refusal classifier, where it can be loaded.",
    ),
]
JudgeModelOption = Annotated[
    str | None, typer.Option(help="The judge's model: a folder, a hub name, or its name on a server.")
]
JudgeUrlOption = Annotated[
    str | None, typer.Option(help="The judge's server, with any OpenAI-compatible API.")
]
