"""`curate review`: each command is a few lines that call the `run` of its module."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption

if TYPE_CHECKING:
    from curation.review.client import Client
    from curation.review.rounds import RoundRecipe

app = typer.Typer(help="Have people review traces, in Argilla or by file.", no_args_is_help=True)
server = typer.Typer(help="The embedded Argilla server in the background.", no_args_is_help=True)
app.add_typer(server, name="server")

RoundOption = Annotated[
    str, typer.Option("--round", help="The round's name; also its workspace and dataset in Argilla.")
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the embedded server's database and passwords.", file_okay=False),
]
PortOption = Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")]
ReviewersOption = Annotated[str | None, typer.Option(help="Comma-separated user names of reviewers.")]
WheelsOption = Annotated[
    Path | None,
    typer.Option(help="Install the server offline from this folder of wheels.", file_okay=False),
]
UrlOption = Annotated[
    str | None, typer.Option(envvar="ARGILLA_API_URL", help="Address of another Argilla server.")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        envvar="ARGILLA_API_KEY",
        help="Its API key; prefer the environment variable, since command lines are visible to other users.",
    ),
]
TracesOption = Annotated[int | None, typer.Option(help="Maximum number of traces of a new round (200).")]
WhereOption = Annotated[
    str | None,
    typer.Option(help="SQL condition over `candidates` for a new round; the whole review queue by default."),
]
AuditOption = Annotated[float | None, typer.Option(help="Share of a new round drawn at random (0.2).")]
OverlapOption = Annotated[int | None, typer.Option(help="Reviewers per trace of a new round (2).")]
BlindOption = Annotated[float | None, typer.Option(help="Share of a new round without suggestions (0.1).")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of a new round's random choices (42).")]

DEFAULT_ROUND = "round-1"
DEFAULT_PORT = 6900


@app.command()
def serve(
    home: HomeOption = None,
    port: PortOption = DEFAULT_PORT,
    reviewers: ReviewersOption = None,
    wheels: WheelsOption = None,
) -> None:
    """Run an Argilla server with its web page on this machine until Ctrl-C. The first start installs it.

    Example: curate review serve --reviewers alice,bob
    """
    from curation import console
    from curation.review.server import process

    folder = home or process.default_home()
    child = process.start(folder, port, _names(reviewers) or (), wheels)
    if child is None:
        _greet(folder)
        console.say("already running; stop it with: curate review server stop")
        return
    try:
        _greet(folder)
        console.say("Ctrl-C stops it")
        code = child.wait()
    except KeyboardInterrupt:
        process.stop(folder)
        code = 0
    raise typer.Exit(min(1, abs(code)))


@server.command()
def start(
    home: HomeOption = None,
    port: PortOption = DEFAULT_PORT,
    reviewers: ReviewersOption = None,
    wheels: WheelsOption = None,
) -> None:
    """Start the server in the background; if it is running, only add the reviewers."""
    from curation.review.server import process

    folder = home or process.default_home()
    process.detach(folder, port, _names(reviewers) or (), wheels)
    _greet(folder)


@server.command()
def stop(home: HomeOption = None) -> None:
    """Stop the server; its data is kept."""
    from curation import console
    from curation.review.server import process

    stopped = process.stop(home or process.default_home())
    console.say("stopped" if stopped else "no review server was running")


@server.command("status")
def server_status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show whether the server is running, and where. Exits 1 if it is not."""
    from curation import console
    from curation.review.server import process

    folder = home or process.default_home()
    running = process.running(folder)
    if json:
        console.json_result(
            {"home": str(folder), "running": running is not None, **(running._asdict() if running else {})}
        )
    elif running:
        console.result(f"running at {running.url} (pid {running.pid}), data in {folder}")
    else:
        console.result(f"not running, data in {folder}; start it with: curate review server start")
    if running is None:
        raise typer.Exit(1)


@server.command()
def logs(
    home: HomeOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Number of lines.")] = 50,
) -> None:
    """Show the end of the server's log."""
    from curation import console
    from curation.review.server import process

    for line in process.log_lines(home or process.default_home(), lines):
        console.result(line)


@app.command()
def push(
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    traces: TracesOption = None,
    where: WhereOption = None,
    audit: AuditOption = None,
    overlap: OverlapOption = None,
    blind: BlindOption = None,
    seed: SeedOption = None,
    reviewers: ReviewersOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Send traces to reviewers, the most uncertain first. Pushing again updates suggestions and keeps all responses.

    Example: curate review push --round pilot --traces 100 --overlap 3
    """
    from curation import console
    from curation.review import push as stage

    recipe = _recipe(round, traces, where, audit, overlap, blind, seed)
    pushed = stage.run(corpus, recipe, _client(url, api_key, home), _names(reviewers))
    changes = {"created": pushed.created, "updated": pushed.updated, "unchanged": pushed.unchanged}
    _report(pushed.manifest, changes | {"reviewers": pushed.reviewers}, json)
    if not pushed.reviewers:
        console.say(
            "the round has no reviewers yet; add some with: curate review server start --reviewers NAMES"
        )


@app.command()
def pull(
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    url: UrlOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Import people's responses as annotations by human:NAME; drafts and discarded responses go only to the table `reviews`."""
    from curation.review import pull as stage

    pulled = stage.run(corpus, round, _client(url, api_key, home))
    _report(
        pulled.manifest, {"new_reviews": pulled.new_reviews, "new_annotations": pulled.new_annotations}, json
    )


@app.command()
def status(
    corpus: CorpusOption = DEFAULT_CORPUS, round: RoundOption = DEFAULT_ROUND, json: JsonOption = False
) -> None:
    """Show progress, agreement between people, and the influence of suggestions, as of the last pull."""
    from curation import console
    from curation.review import status as stage

    report = stage.run(corpus, round)
    console.json_result(stage.as_json(report)) if json else stage.show(report)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="The JSONL file to write.", dir_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    traces: TracesOption = None,
    where: WhereOption = None,
    audit: AuditOption = None,
    overlap: OverlapOption = None,
    blind: BlindOption = None,
    seed: SeedOption = None,
) -> None:
    """Write a round as JSONL for another tool: traces, suggestions, and existing reviews."""
    from curation import console
    from curation.review import exchange

    written = exchange.export(corpus, _recipe(round, traces, where, audit, overlap, blind, seed), out)
    console.say(f"review-export: {written} traces written to {out}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A JSONL file of reviews.", dir_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    json: JsonOption = False,
) -> None:
    """Import reviews made in another tool.

    A line has trace_id, reviewer, patterns (or ["none"]), and if known verdict, comment, status, updated_at and spans
    [{pattern, field, start, end}] in code points.
    """
    from curation.review import exchange

    imported = exchange.run(corpus, round, file)
    _report(
        imported.manifest,
        {"new_reviews": imported.new_reviews, "new_annotations": imported.new_annotations},
        json,
    )


def _recipe(round: str, *settings: Any) -> "RoundRecipe":
    """A recipe with only the given settings; an existing round keeps its own for the others."""
    from pydantic import ValidationError

    from curation.review.rounds import RoundRecipe
    from schemas.errors import RecipeError

    names = ("traces", "where", "audit", "overlap", "blind", "seed")
    given = {name: value for name, value in zip(names, settings, strict=True) if value is not None}
    try:
        return RoundRecipe.model_validate({"name": round, **given})
    except ValidationError as error:
        faults = (
            f"--{'round' if e['loc'][0] == 'name' else e['loc'][0]}: {e['msg']}" for e in error.errors()
        )
        raise RecipeError("\n".join(faults)) from error


def _client(url: str | None, api_key: str | None, home: Path | None) -> "Client":
    from curation.review.client import Client, find_target
    from curation.review.server import process

    return Client(find_target(url, api_key, home or process.default_home()))


def _greet(home: Path) -> None:
    """Create the reviewers' accounts, and print where to sign in."""
    from curation import console
    from curation.review.client import Client, embedded_target
    from curation.review.server import credentials

    known = credentials.load(home)
    target = embedded_target(home)
    if known.reviewers:
        Client(target).ensure_reviewers(known.reviewers)
    console.result(target.url)
    people = ", ".join(account.username for account in (known.owner, *known.reviewers))
    console.say(
        f"accounts: {people}; their passwords are in {home / credentials.FILE} (only you can read it)"
    )


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text is not None else None


def _report(manifest: Any, changes: dict[str, Any], json: bool) -> None:
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.json_result({**manifest.model_dump(mode="json"), **changes})
        return
    told = (
        f"{name.replace('_', ' ')} {', '.join(n) if isinstance(n, list) else n}"
        for name, n in changes.items()
    )
    console.say("  " + "; ".join(told))
