"""The `sft` commands about scores: `suites, score, compare, sweep, reproduce`. Each is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    CorpusOption,
    DtypeOption,
    EngineOption,
    JsonOption,
    JudgeModelOption,
    JudgeOption,
    JudgeUrlOption,
    PromptLimitOption,
    ReplyTokensOption,
    RevisionOption,
    TemplateKwargsOption,
    UrlOption,
    among,
    listed,
    template_settings,
)
from curation.commands.printing import answer
from schemas.choices import ScoredThink, TableFormat
from schemas.errors import RecipeError, TrainingError

app = typer.Typer()
SCORE, MANY = "Score", "Many models"


def _check_suites(value: str) -> str:
    """Check that each name is a shipped suite, "all" or a file."""
    from sft.scoring.suite_files import ALL, is_file, shipped

    among(lambda: [ALL, *shipped(), *(name for name in listed(value) or () if is_file(name))])(value)
    return value


@app.command(rich_help_panel=SCORE)
def suites(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Suites, protocols or files to show; all are listed by default."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the suites and protocols that come with the package, or show some whole.

    Example: sft suites xstest study
    """
    from sft.scoring import suite_files as stage

    documents = [stage.find_any(name).model_dump(mode="json", exclude_none=True) for name in names or ()]
    if documents:
        answer(documents, json, stage.show)
        return
    listed_ones = stage.described(stage.shipped().values())
    answer({"suites": listed_ones, "protocols": stage.protocols_described()}, json, stage.show_all)


@app.command(rich_help_panel=SCORE)
def score(
    model: Annotated[
        str,
        typer.Argument(help="A run, model or adapter folder, a hub name, or a model name on the server."),
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    suite: Annotated[
        str,
        typer.Option(help="Comma-separated suites (`sft suites`) or files of yours.", callback=_check_suites),
    ] = "all",
    protocol: Annotated[
        str | None, typer.Option(help="Suites with a paper's settings: study, or a file of yours.")
    ] = None,
    limit: PromptLimitOption = None,
    max_new_tokens: ReplyTokensOption = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.", min=0)] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    samples: Annotated[
        int | None, typer.Option(help="Replies per prompt; more than 1 needs a temperature above 0.", min=1)
    ] = None,
    think: Annotated[
        ScoredThink | None, typer.Option(help="zero: no chain of thought; less: a short fixed one.")
    ] = None,
    chat_template_kwargs: TemplateKwargsOption = None,
    judge: JudgeOption = None,
    judge_model: JudgeModelOption = None,
    judge_url: JudgeUrlOption = None,
    annotators: Annotated[
        str, typer.Option(help="Comma-separated annotators, such as rules,ensemble.")
    ] = "rules,overrefusal",
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    base_url: UrlOption = None,
    revision: RevisionOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for scores.json and outcomes.jsonl; by default the run's folder.", file_okay=False
        ),
    ] = None,
    export: Annotated[
        Literal["inspect"] | None,
        typer.Option(help="Also write logs for `inspect view`, next to the scores."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Do not mask the texts of these logs.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure attack success, over-refusal and accuracy of a model on the prompts of an evaluation corpus.

    By default every suite is asked that the corpus has prompts for; those of no published set are counted by kind.

    Examples:

        sft score runs/improved --corpus eval --suite advbench,xstest

        sft score MODEL --corpus eval --protocol study --judge guard:llama-guard --judge-model Llama-Guard-3-8B --out scores/raw
    """
    from curation.engines.settings import EngineSettings
    from curation.recipe import from_options
    from sft.scoring import judging, printing, stage
    from sft.scoring.suite_files import HowAsked, choose

    server = {"base_url": base_url} if base_url else None
    settings = from_options(
        EngineSettings,
        None,
        {
            ("kind",): engine,
            ("model",): model,
            ("revision",): revision,
            ("dtype",): dtype,
            ("server",): server,
        },
    )
    if show and not export:
        raise typer.BadParameter("applies to logs only; add --export inspect", param_hint="--show")
    if export and not out and not (Path(model) / "run.json").is_file():
        raise RecipeError("--export needs a folder for the logs; set --out")
    how = HowAsked(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        samples=samples,
        think=think,
        chat_template_kwargs=template_settings(chat_template_kwargs),
    )
    chosen = choose(listed(suite) or ["all"], protocol, how)
    scores = stage.score_model(
        corpus,
        settings,
        suites=chosen,
        judging=judging.recipe(listed(annotators) or [], listed(judge), judge_model, judge_url),
        out=out,
        export=stage.LogExport(show) if export else None,
        limit=limit,
    )
    answer(scores, json, printing.show)
    stage.require_answers(scores)


@app.command(rich_help_panel=SCORE)
def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Runs, or folders written by `sft score --out`.", file_okay=False)
    ],
    names: Annotated[str | None, typer.Option(help="Comma-separated names of the models, in order.")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Name of the baseline model, for ablations."),
    ] = None,
    format: Annotated[TableFormat, typer.Option(help="Of the table on stdout.")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page.", dir_okay=False)] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Comparison",
    json: JsonOption = False,
) -> None:
    """Compare scored models: a table with intervals, which differences are not significant, and the prompts whose outcome changed.

    Example: sft compare runs/default runs/improved --out compare.html
    """
    from curation import console
    from sft.comparison import stage, tables

    comparison = stage.compare(stage.load(folders, listed(names) or ()), base)
    if out:
        tables.write_page(comparison, out, title)
    if json:
        console.json_result(tables.document(comparison))
        return
    console.result(tables.FORMATS[format](comparison).rstrip())
    for difference in comparison.differences:
        console.say(
            f"{difference.column}: {difference.first} and {difference.second}: {difference.conclusion}"
        )


@app.command(rich_help_panel=MANY)
def sweep(
    recipe: Annotated[
        Path, typer.Argument(help="A YAML recipe; see `sft/recipes/sweeps` for the study's.", dir_okay=False)
    ],
    json: JsonOption = False,
) -> None:
    """Train, score and compare mixes x settings x seeds; run it again to resume.

    Example: sft sweep learning-rates.yaml
    """
    from curation import console
    from sft import sweep as stage
    from sft.comparison import tables

    comparison, failed = stage.train_and_compare(recipe)
    console.json_result(tables.document(comparison)) if json else console.result(
        tables.markdown(comparison).rstrip()
    )
    if failed:
        raise TrainingError(f"{len(failed)} runs failed: {', '.join(failed)}; run the sweep again to retry")


@app.command(rich_help_panel=MANY)
def reproduce(
    study: Annotated[Literal["study"], typer.Argument(help="study: Table 1 of arXiv 2505.15404.")],
    model: Annotated[str, typer.Option(help="The model to train: a folder, or a hub name.")],
    evaluation: Annotated[
        Path,
        typer.Option(help="The corpus with the protocol's prompts (`curate ingest --set`).", file_okay=False),
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    out: Annotated[Path, typer.Option(help="Folder for mixes, runs and tables.", file_okay=False)] = Path(
        "reproduction"
    ),
    judge: JudgeOption = None,
    judge_model: JudgeModelOption = None,
    judge_url: JudgeUrlOption = None,
    engine: EngineOption = None,
    training: Annotated[
        Path | None, typer.Option(help="YAML file with other settings of `sft run`.", dir_okay=False)
    ] = None,
    safety_rows: Annotated[
        int | None, typer.Option(help="At most so many safety rows a mix, for a trial.", min=1)
    ] = None,
    benign_rows: Annotated[int | None, typer.Option(help="The same of benign rows.", min=1)] = None,
    limit: PromptLimitOption = None,
    max_new_tokens: ReplyTokensOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print an estimate.")] = False,
    json: JsonOption = False,
) -> None:
    """Reproduce a study: build its mixes, train on each, score, and print the table beside the published one. Resumable.

    Example: sft reproduce study --model models/DeepSeek-R1-Distill-Qwen-7B --corpus corpus --evaluation eval --dry-run
    """
    from curation import console
    from sft import reproduce as stage
    from sft.comparison import tables

    rows = {"safety": safety_rows, "benign": benign_rows}
    take = {name: count for name, count in rows.items() if count}
    changes = {
        ("take",): take or None, ("score", "judge"): listed(judge), ("score", "judge_model"): judge_model,
        ("score", "judge_url"): judge_url, ("score", "engine"): engine, ("score", "limit"): limit,
        ("score", "max_new_tokens"): max_new_tokens,
    }  # fmt: skip
    recipe = stage.recipe(study, model, corpus, evaluation, out, changes, training)
    for note in stage.notes(recipe):
        console.say(note)
    if dry_run:
        estimate = stage.estimate(recipe)
        answer(estimate._asdict(), json, lambda _: stage.show_plan(estimate))
        return
    comparison, failed = stage.carry_out(study, recipe)
    if json:
        console.json_result(tables.document(comparison))
    else:
        console.result(stage.beside(comparison, stage.published(study)).rstrip())
    if failed:
        raise TrainingError(f"{len(failed)} runs failed: {', '.join(failed)}; run the command again to retry")
