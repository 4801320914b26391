"""`curate review`: each command is a few lines that call the `run` of its module."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.commands import review_server
from curation.commands.options import (
    DEFAULT_CORPUS,
    DEFAULT_PORT,
    DEFAULT_ROUND,
    ROUND,
    ArgillaOption,
    CorpusOption,
    Given,
    HomeOption,
    JsonOption,
    KeyOption,
    PortOption,
    ReviewersOption,
    RoundOption,
    WheelsOption,
    listed,
    taking,
)
from curation.commands.printing import answer, report
from curation.commands.quick import Commands
from schemas.choices import ReviewTool

if TYPE_CHECKING:
    from curation.review.client import Client
    from curation.review.rounds import RoundRecipe
    from schemas.manifest import Manifest

app = Commands(help="Have people review traces, in Argilla or by file.", no_args_is_help=True)
app.add_typer(review_server.server, name="server", rich_help_panel="The server")
app.add_typer(review_server.account, name="account", rich_help_panel="The server")

PANEL = "A round"
SERVER = "The server"
TOLD = 10
"""Reviews that contradict themselves that a pull shows."""


@app.command(rich_help_panel=SERVER)
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
    child = process.start(folder, port, listed(reviewers) or (), wheels)
    if child is None:
        review_server.greet(folder)
        console.say("already running; stop it with: curate review server stop")
        return
    try:
        review_server.greet(folder)
        console.say("Ctrl-C stops it")
        code = child.wait()
    except KeyboardInterrupt:
        process.stop(folder)
        code = 0
    raise typer.Exit(min(1, abs(code)))


@app.command(rich_help_panel=PANEL)
@taking(ROUND)
def push(
    given: Given,
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    reviewers: ReviewersOption = None,
    adjudicate: Annotated[
        str | None,
        typer.Option(
            help="Send the round's disputed traces to this person, who decides and sees all opinions."
        ),
    ] = None,
    url: ArgillaOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Send traces to reviewers, the most uncertain first. Pushing again updates suggestions and keeps all responses.

    Example: curate review push --round pilot --traces 100 --overlap 3
    Example: curate review push --round pilot --adjudicate carol
    Example: curate review push --round ours --codebook ours
    """
    from curation.review import push as stage
    from schemas.errors import UsageError

    if adjudicate:
        if reviewers or any(value is not None for value in given.values()):
            raise UsageError(
                "--adjudicate takes the round's disputes: give it --round and no setting of a new round"
            )
        from curation.review.planning import adjudication

        done = adjudication.run(
            corpus, round=round, adjudicator=adjudicate, client=_client(url, api_key, home)
        )
        report(done, json, _show_push)
        return
    recipe = _recipe(round, given)
    manifest = stage.run(corpus, recipe, client=_client(url, api_key, home), reviewers=listed(reviewers))
    report(manifest, json, _show_push)


@app.command(rich_help_panel=PANEL)
def assign(
    reviewers: Annotated[
        str, typer.Option(help="Comma-separated user names: everybody who reviews it from now on.")
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    url: ArgillaOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Change who reviews a round. What is open is planned anew; who has answered a trace keeps it.

    Example: curate review assign --round pilot --reviewers alice,bob,carol
    """
    from curation.review.planning import reassign as stage

    names = listed(reviewers) or ()
    report(
        stage.run(corpus, round=round, reviewers=names, client=_client(url, api_key, home)), json, _show_push
    )


@app.command(rich_help_panel=PANEL)
def pull(
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    send_back: Annotated[
        bool, typer.Option("--send-back", help="Give reviews that contradict themselves back as drafts.")
    ] = False,
    url: ArgillaOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Import people's responses as annotations by human:NAME; drafts and discarded responses go only to the table `reviews`.

    Example: curate review pull --round pilot
    """
    from curation.review import pull as stage

    done = stage.run(corpus, round=round, client=_client(url, api_key, home), send_back=send_back)
    report(done, json, _show_pull)


@app.command(rich_help_panel=PANEL)
def status(
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    live: Annotated[
        bool, typer.Option("--live", help="People's progress as it is on the server now.")
    ] = False,
    url: ArgillaOption = None,
    api_key: KeyOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show progress, agreement between people, disputes, and the influence of suggestions, as of the last pull.

    Example: curate review status --round pilot
    Example: curate review status --round pilot --live
    """
    from curation.review import status as stage

    client = _client(url, api_key, home) if live else None
    answer(stage.read(corpus, round, client), json, stage.show)


@app.command(rich_help_panel=PANEL)
@taking(ROUND)
def export(
    given: Given,
    out: Annotated[Path, typer.Argument(help="The JSONL file to write.", dir_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    reviewer: Annotated[
        str | None, typer.Option("--for", help="Only this reviewer's traces, without other people's reviews.")
    ] = None,
    tool: Annotated[
        ReviewTool, typer.Option("--format", help="jsonl, or the tasks of Label Studio.")
    ] = "jsonl",
) -> None:
    """Write a round as a file for another tool: traces, suggestions, and existing reviews.

    Example: curate review export pilot.jsonl --round pilot
    Example: curate review export pilot.json --round pilot --format label-studio
    """
    from curation import console
    from curation.review import exchange

    written = exchange.export(corpus, _recipe(round, given), out, reviewer=reviewer, tool=tool)
    console.say(f"review-export: {written} traces written to {out}")
    if tool == "label-studio":
        from curation.corpus.store import Store
        from curation.review import rounds
        from curation.review.formats import label_studio

        console.result(label_studio.interface(rounds.open_round(Store(corpus), round).form))
        console.say(
            "the above is the labelling interface: paste it into the project's settings, then import the file"
        )


@app.command("import", rich_help_panel=PANEL)
def import_(
    file: Annotated[
        Path, typer.Argument(help="A JSONL file of reviews, or Label Studio's JSON export.", dir_okay=False)
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    round: RoundOption = DEFAULT_ROUND,
    json: JsonOption = False,
) -> None:
    """Import reviews made in another tool.

    A line has trace_id, reviewer, patterns (or ["none"]), and if known verdict, comment, status, updated_at and spans
    [{pattern, field, start, end}] in code points.

    Example: curate review import reviewed.jsonl --round pilot
    """
    from curation.review import exchange

    report(exchange.run(corpus, file, round=round), json, _show)


def _recipe(round: str, given: Given) -> "RoundRecipe":
    """A recipe with only the given settings; an existing round keeps its own for the others."""
    from curation.recipe import from_options
    from curation.review.rounds import RoundRecipe

    return from_options(RoundRecipe, None, {**given, ("name",): round})


def _client(url: str | None, api_key: str | None, home: Path | None) -> "Client":
    from curation.review.client import Client, find_target
    from curation.review.server import process

    return Client(find_target(url, api_key, home or process.default_home()))


def _show_push(manifest: "Manifest") -> None:
    """What was sent, and what the plan lacks."""
    from curation import console

    summary = dict(manifest.summary)
    short, gone = summary.pop("short"), summary.pop("no_account")
    _show(manifest.model_copy(update={"summary": summary}))
    if not summary["reviewers"]:
        console.say(
            "the round has no reviewers yet; make accounts with: curate review server start --reviewers NAMES; "
            "then: curate review assign --reviewers NAMES"
        )
    elif short:
        console.say(
            f"overlap {manifest.recipe['overlap']} cannot be met: {short} traces have too few reviewers; more people with: "
            "curate review assign --reviewers NAMES"
        )
    if gone:
        assert isinstance(gone, list)
        console.say(
            f"no account any more: {', '.join(gone)}; replan their traces with: curate review assign --reviewers NAMES"
        )


def _show_pull(manifest: "Manifest") -> None:
    """What arrived, and what takes itself back."""
    from curation import console

    summary = dict(manifest.summary)
    told = summary.pop("contradictions")
    _show(manifest.model_copy(update={"summary": summary}))
    assert isinstance(told, list)
    for one in told[:TOLD]:
        console.say(f"  {one['trace_id']} by {one['reviewer']}: {'; '.join(one['what'])}")
    if len(told) > TOLD:
        console.say(f"  and {len(told) - TOLD} more; all with --json")


def _show(manifest: "Manifest") -> None:
    """What a push or pull changed, for a person; on stderr, since it is no result."""
    from curation import console

    told = (
        f"{name.replace('_', ' ')} {', '.join(n) if isinstance(n, list) else n}"
        for name, n in manifest.summary.items()
    )
    console.say("  " + "; ".join(told))
