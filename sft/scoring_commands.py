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
    ScoringAnnotatorsOption,
    TemplateKwargsOption,
    TokenizerOption,
    UrlOption,
    among,
    listed,
    template_settings,
)
from curation.commands.printing import answer
from curation.commands.quick import Commands
from schemas.choices import ScoredThink, TableFormat
from schemas.errors import RecipeError, TrainingError

app = Commands()
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
    annotators: ScoringAnnotatorsOption = None,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    base_url: UrlOption = None,
    tokenizer: TokenizerOption = None,
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

    server = {"base_url": base_url, "tokenizer": tokenizer} if base_url else None
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
        judging=judging.recipe(listed(annotators), listed(judge), judge_model, judge_url),
        out=out,
        export=stage.LogExport(show) if export else None,
        limit=limit,
    )
    answer(scores, json, printing.show)
    stage.require_answers(scores)


@app.command(rich_help_panel=SCORE)
def attack(
    model: Annotated[str, typer.Argument(help="The attacked model, as for `sft score`.")],
    attacker: Annotated[
        str, typer.Option(help="The attacker's model: a folder, a hub name, or its name on a server.")
    ],
    attacker_prompt: Annotated[
        Path,
        typer.Option(help="File with the attacker's instruction; {goal} in it is the query.", dir_okay=False),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the attack; the same one resumes it.", file_okay=False)
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    suite: Annotated[str, typer.Option(help="The suite whose prompts are the goals.")] = "advbench",
    limit: PromptLimitOption = None,
    streams: Annotated[
        int | None, typer.Option(help="Independent tries of a goal; 3 by default.", min=1)
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Rounds of each; 3 by default.", min=1)] = None,
    budget: Annotated[int | None, typer.Option(help="At most so many attempts in all.", min=1)] = None,
    attacker_url: Annotated[str | None, typer.Option(help="The attacker's server.")] = None,
    judge: JudgeOption = None,
    judge_model: JudgeModelOption = None,
    judge_url: JudgeUrlOption = None,
    annotators: ScoringAnnotatorsOption = None,
    engine: EngineOption = None,
    dtype: DtypeOption = None,
    base_url: UrlOption = None,
    revision: RevisionOption = None,
    json: JsonOption = False,
) -> None:
    """Attack a model with PAIR, live: an attacker model writes prompts, sees the answers and their scores, and tries again. Resumable.

    We ship no attack: the attacker's instruction is a file of yours.

    Example: sft attack runs/improved --corpus eval --attacker MODEL --attacker-prompt mine.md --budget 450 --out attacks/improved
    """
    from curation.recipe import from_options
    from sft.attack import stage
    from sft.scoring import judging

    servers = {
        name: {"base_url": url} if url else None
        for name, url in (("model", base_url), ("attacker", attacker_url))
    }
    given = {
        ("model", "kind"): engine, ("model", "model"): model, ("model", "revision"): revision, ("model", "dtype"): dtype,
        ("model", "server"): servers["model"], ("attacker", "model"): attacker, ("attacker", "server"): servers["attacker"],
        ("attacker", "kind"): None if attacker_url else engine, ("attacker", "dtype"): dtype,
        ("attacker_prompt",): attacker_prompt, ("suite",): suite, ("limit",): limit, ("streams",): streams, ("depth",): depth,
        ("budget",): budget, ("judging",): judging.recipe(listed(annotators), listed(judge), judge_model, judge_url).model_dump(),
    }  # fmt: skip
    manifest = stage.run(corpus, from_options(stage.AttackRecipe, None, given), out=out)
    answer(manifest, json, stage.show)


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
    every: Annotated[
        bool, typer.Option("--all", help="Print every test, not only the headline comparisons.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Compare scored models: a table with intervals, which differences are not significant, and the prompts whose outcome changed.

    Example: sft compare runs/default runs/improved --out compare.html
    """
    from curation import console
    from sft.comparison import overview, stage, tables

    comparison = stage.compare(stage.load(folders, listed(names) or (), unread_allowed=True), base)
    if out:
        tables.write_page(comparison, out, title)
    if json:
        console.json_result(tables.document(comparison))
        return
    console.result(tables.FORMATS[format](comparison).rstrip())
    tested = overview.tested_pairs(comparison)
    for difference in [*tested.first, *tested.rest] if every else tested.first:
        console.say(
            f"{difference.column}: {difference.first} and {difference.second}: {difference.conclusion}"
        )
    if tested.rest and not every:
        console.say(f"{tested.told}: --all prints them{f', and so has {out}' if out else ''}")


@app.command(rich_help_panel=MANY)
def sweep(
    recipe: Annotated[
        str, typer.Argument(help="A YAML recipe, or the name of a shipped one, such as benign-ratio.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be trained and scored.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train, score and compare mixes x settings x seeds; run it again to resume.

    Examples:

        sft sweep benign-ratio --dry-run

        sft sweep learning-rates.yaml
    """
    from curation import console
    from sft import sweep as stage
    from sft import sweep_plan
    from sft.comparison import tables

    chosen = stage.find_sweep(recipe)
    if dry_run:
        found = sweep_plan.sweep_plan(chosen)
        document = {"mixes": found.mixes, "runs": [run._asdict() for run in found.runs]}
        answer(document, json, lambda _: sweep_plan.show(found))
        return
    comparison, failed = stage.carry_out(chosen)
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
