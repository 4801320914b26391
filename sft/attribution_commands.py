"""The `sft` command about causes: `attribute`. It is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import EngineOption, JsonOption, ReplyTokensOption, listed
from curation.commands.printing import answer, report
from curation.commands.quick import Commands
from schemas.choices import Device, GroupChange, InfluenceMethod, InfluenceSimilarity, RowGroup
from schemas.errors import TrainingError

app = Commands()
EXPLAIN = "Explain"


@app.command(rich_help_panel=EXPLAIN)
def attribute(
    run: Annotated[
        Path, typer.Argument(help="A finished run; for --self-test also a recipe of `sft run`.", exists=True)
    ],
    evaluation: Annotated[
        Path | None, typer.Option(help="The corpus that the outcomes were scored on.", file_okay=False)
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(help="A scored run, or a folder of `sft score --out`; RUN by default.", file_okay=False),
    ] = None,
    flips: Annotated[
        Path | None,
        typer.Option(
            help="Scores of another model: only prompts that flipped between both.", file_okay=False
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            help="A run of the same config with another seed: ranks by the mean over all runs; repeatable.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="One suite; each by default.")] = None,
    measure: Annotated[
        str | None, typer.Option(help="The measure, such as refuses; the suite's headline by default.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only prompts of this category.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Only the prompt with this prompt_id.")] = None,
    method: Annotated[
        InfluenceMethod,
        typer.Option(help="gradients; states and loss are cheap baselines."),
    ] = "gradients",
    similarity: Annotated[
        InfluenceSimilarity, typer.Option(help="Of gradients: product, or cosine, which ignores their size.")
    ] = "product",
    projection: Annotated[
        int, typer.Option(help="Numbers kept of each gradient; 0: exact, for small models.", min=0)
    ] = 8192,
    seed: Annotated[int, typer.Option(help="Of the projection.")] = 0,
    limit: Annotated[
        int, typer.Option(help="At most so many replies with the measure, and without.", min=1)
    ] = 100,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="The corpus of the mix: keep the result there, for SQL and recipes; it also knows clusters.",
            file_okay=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of result and cache; RUN/attribution by default.", file_okay=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate the cost.")] = False,
    device: Annotated[Device, typer.Option(help="Of --dry-run.")] = "cpu",
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Plant rows that refuse harmless questions, train, and see whether they are found.",
        ),
    ] = False,
    rows: Annotated[int, typer.Option(help="Of --self-test: rows to train on.", min=20)] = 400,
    subsets: Annotated[
        int | None,
        typer.Option(
            help="Of --self-test: runs on random halves, for the linear data-modelling score.", min=4
        ),
    ] = None,
    leave_out: Annotated[
        RowGroup | None,
        typer.Option(help="Instead: train without each group of rows, score, and compare; a sweep."),
    ] = None,
    largest: Annotated[
        int | None, typer.Option(help="Of --leave-out: only the largest so many groups.", min=2)
    ] = None,
    change: Annotated[GroupChange, typer.Option(help="Of --leave-out: what becomes of the group.")] = "drop",
    seeds: Annotated[str, typer.Option(help="Of --leave-out: comma-separated.")] = "42",
    engine: EngineOption = None,
    max_new_tokens: ReplyTokensOption = None,
    json: JsonOption = False,
) -> None:
    """Rank the rows of a run's mix by how much they taught the model a behaviour: those of its replies with a measure, against those without.

    Example: sft attribute runs/improved --evaluation eval --suite overrefusal --corpus corpus
    """
    from sft.attribution import estimate, stage
    from sft.attribution import leave_out as omission
    from sft.attribution import self_test as planting
    from sft.attribution.recipe import AttributeRecipe
    from sft.sweep import ScoreSettings

    if dry_run and (self_test or leave_out):
        raise typer.BadParameter(
            "estimates rankings only, not --self-test or --leave-out", param_hint="--dry-run"
        )
    if self_test:
        test = planting.SelfTestRecipe(rows=rows, subsets=subsets, projection=projection, seed=seed)
        answer(planting.of_path(run, test, out), json, planting.show)
        return
    if evaluation is None:
        raise typer.BadParameter(
            "name the corpus that the outcomes were scored on", param_hint="--evaluation"
        )
    if leave_out:
        score = ScoreSettings(
            corpus=str(evaluation),
            suite=suite or "all",
            engine=engine or "auto",
            max_new_tokens=max_new_tokens,
        )
        groups = omission.LeaveOutRecipe(
            group=leave_out, change=change, largest=largest, seeds=tuple(_whole_numbers(seeds)), score=score
        )
        result = omission.leave_out(run, groups, out or Path(f"{run}-{change}-{leave_out}"), corpus)
        answer({"effects": result.effects, "failed": result.failed}, json, lambda _: omission.show(result))
        if result.failed:
            raise TrainingError(
                f"{len(result.failed)} runs failed: {', '.join(result.failed)}; run the command again to retry"
            )
        return
    recipe = AttributeRecipe(
        method=method, similarity=similarity, projection=projection, seed=seed, suite=suite, measure=measure, category=category,
        prompt_id=prompt, limit=limit,
    )  # fmt: skip
    if dry_run:
        cost = estimate.estimate(run, on or run, evaluation, recipe, device, flips, also or ())
        answer(cost._asdict(), json, lambda _: estimate.show(cost))
        return
    report(
        stage.attribute(
            run, on or run, evaluation, recipe, other=flips, also=also or (), corpus=corpus, out=out
        ),
        json,
        stage.show,
    )


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in listed(text) or ()]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers", param_hint="--seeds") from error
