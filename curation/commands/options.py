"""Every argument and option that more than one command takes, and how an option is checked against the names there are.

A test keeps them here: elsewhere an option stands in the command that alone takes it.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import typer

from schemas.choices import EngineKind, ReviewOrder, Teacher, Tier


def among(known: Callable[[], Collection[str]]) -> Callable[[str | None], str | None]:
    """A check that every name of a comma-separated option is known; a bad one is a usage error that lists the good ones.

    Args:
        known: gives the names; asked when the option is given, so that nothing is loaded for `--help`.
    """

    def check(value: str | None) -> str | None:
        names = known() if value else ()
        for name in listed(value) or ():
            if name not in names:
                raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, names))}.")
        return value

    return check


def listed(value: str | None) -> list[str] | None:
    """The names of a comma-separated option; null where it is not given."""
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


def check_annotators(value: str | None) -> str | None:
    """Check the names of annotators as `among` does; `family:variant` and `module:function` are left to the catalog."""
    from annotators import catalog

    among(lambda: [*catalog.names(), *(name for name in listed(value) or () if ":" in name)])(value)
    return value


def strategy_names() -> Collection[str]:
    """The shipped strategies."""
    from curation.generate.strategies import NAMES

    return NAMES


def _patterns() -> Collection[str]:
    from schemas.patterns import CODEBOOK

    return [entry.name for entry in CODEBOOK]


# The corpus, and what is printed.
CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
DEFAULT_CORPUS = Path("corpus")
JsonOption = Annotated[bool, typer.Option("--json", help="Print only one JSON document on stdout.")]
ShowOption = Annotated[bool, typer.Option("--show", help="Show texts unmasked.")]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file.", dir_okay=False)]

# Models.
ModelOption = Annotated[
    str | None, typer.Option(help="A model folder, a hub name, or a model name on the server.")
]
RevisionOption = Annotated[str | None, typer.Option(help="Commit (40 hex digits) of a hub model.")]
EngineOption = Annotated[EngineKind | None, typer.Option(help="What runs the model.")]
UrlOption = Annotated[str | None, typer.Option(help="A server's address, such as http://localhost:8000/v1.")]
ReplicasOption = Annotated[
    int | None, typer.Option(help="Number of engines on the cluster, with --engine ray.")
]
TokenizerOption = Annotated[str | None, typer.Option(help="Tokenizer folder of the server's model.")]

# Generating and judging.
RecipeArgument = Annotated[Path | None, typer.Argument(help="A recipe file; options override it.")]
StrategiesOption = Annotated[
    str | None,
    typer.Option(help="Comma-separated; see `curate strategies`.", callback=among(strategy_names)),
]
FilesOption = Annotated[list[Path] | None, typer.Option(help="Your own strategy file; repeatable.")]
TemperatureOption = Annotated[float | None, typer.Option(help="0 is greedy; 0.6 by default.")]
TopPOption = Annotated[float | None, typer.Option(help="0.95 by default.")]
TokensOption = Annotated[int | None, typer.Option(help="Maximum reply length in tokens; 4096 by default.")]
SeedOption = Annotated[int | None, typer.Option(help="0 by default.")]
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
    typer.Option(help="Comma-separated; the five risky ones by default.", callback=among(_patterns)),
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
BlindOption = Annotated[float | None, typer.Option(help="Share of a new round without suggestions (0.1).")]
RoundSeedOption = Annotated[
    int | None, typer.Option("--seed", help="Seed of a new round's random choices (42).")
]
