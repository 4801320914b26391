"""`curate strategies, compose, generate, sample, repair`: each command is a few lines that call its stage.

Every setting can be in a recipe file; the options are the ones used most, and they override the file.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    JUDGING,
    MODEL,
    SAMPLING,
    STRATEGIES,
    CorpusOption,
    FilesOption,
    Given,
    JsonOption,
    LimitOption,
    PatternsOption,
    PromptsOption,
    RecipeArgument,
    SeedOption,
    among,
    listed,
    strategy_names,
    taking,
    within,
)
from curation.commands.printing import answer, report
from curation.commands.quick import Commands
from schemas.choices import Think

app = Commands()
PANEL = "Generate"


@app.command(rich_help_panel=PANEL)
def strategies(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Print this strategy, as a template for your own.", callback=among(strategy_names)
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the strategies of `curate generate`, or print one.

    Example: curate strategies improved > mine.md
    """
    from curation import console
    from curation.generate import strategies as stage

    if name:
        console.result(stage.source(name))
        return
    answer(stage.listed(), json, lambda shown: console.show_rows(list(shown[0]), shown))


@app.command(rich_help_panel=PANEL)
def compose(
    corpus: CorpusOption = DEFAULT_CORPUS,
    templates: Annotated[
        Path | None,
        typer.Option(
            help="YAML of `family: text with {query}`, or a folder of texts; placeholders by default."
        ),
    ] = None,
    where: PromptsOption = None,
    limit: LimitOption = None,
    seed: SeedOption = None,
    json: JsonOption = False,
) -> None:
    """Insert raw queries into your jailbreak templates; the new prompts have the template family as `attack`.

    Example: curate compose --templates families.yaml --limit 200
    """
    from curation.generate import compose as stage
    from curation.recipe import from_options

    given: dict[tuple[str, ...], Any] = {
        ("templates",): templates,
        ("where",): where,
        ("limit",): limit,
        ("seed",): seed,
    }
    report(stage.run(corpus, from_options(stage.ComposeRecipe, None, given)), json)


@app.command(rich_help_panel=PANEL)
@taking(MODEL, STRATEGIES, SAMPLING)
def generate(
    given: Given,
    recipe: RecipeArgument = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    samples: Annotated[int | None, typer.Option(help="Traces per prompt and strategy.")] = None,
    think: Annotated[
        Think | None, typer.Option(help="zero: CoT off; less: a short fixed one; more: one more round.")
    ] = None,
    where: PromptsOption = None,
    limit: LimitOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate requests and tokens; calls no model.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Generate traces for the corpus's prompts under distillation strategies; repeat the command to resume.

    Examples:

        curate generate --model ./DeepSeek-R1-Distill-Qwen-7B --strategies default,improved --where "kind = 'harmful'"

        curate generate --model gpt-oss --base-url http://localhost:8000/v1 --strategies short,template

        curate generate --strategies nocot
    """
    from curation import console
    from curation.generate import stage
    from curation.generate.yields import require_yield
    from curation.recipe import from_options

    given |= {("samples",): samples, ("think",): think, ("where",): where, ("limit",): limit}
    settings = from_options(stage.GenerateRecipe, recipe, given)
    if dry_run:
        from curation.generate.estimate import estimate

        console.json_result(estimate(corpus, settings))
        return
    manifest = stage.run(corpus, settings)
    report(manifest, json)
    require_yield(manifest, settings.chosen())


@app.command(rich_help_panel=PANEL)
@taking(*(within("generate", group) for group in (MODEL, STRATEGIES, SAMPLING)), JUDGING)
def sample(
    given: Given,
    recipe: RecipeArgument = None,
    target: Annotated[int | None, typer.Option(help="Number of accepted traces per strategy.")] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    budget: Annotated[int | None, typer.Option(help="Maximum number of traces per strategy.")] = None,
    samples: Annotated[int | None, typer.Option(help="Maximum number of samples per prompt.")] = None,
    where: PromptsOption = None,
    json: JsonOption = False,
) -> None:
    """Rejection sampling: generate and annotate in rounds until each strategy has its accepted traces or the budget is spent.

    Example: curate sample --target 1000 --model ./R1-7B --strategies default,improved --samples 8 --budget 20000
    """
    from curation.generate import sample as stage
    from curation.recipe import from_options

    given |= {("generate", "samples"): samples, ("generate", "where"): where}
    given |= {("target",): target, ("budget",): budget}
    report(stage.run(corpus, from_options(stage.SampleRecipe, recipe, given)), json, stage.show)


@app.command(rich_help_panel=PANEL)
@taking(within("generate", MODEL), within("generate", SAMPLING), JUDGING)
def repair(
    given: Given,
    recipe: RecipeArgument = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    strategies: Annotated[
        str | None, typer.Option("--strategy", help="The strategy for the continuation; improved by default.")
    ] = None,
    strategy_file: FilesOption = None,
    tries: Annotated[
        int | None, typer.Option(help="Maximum number of tries per trace; 3 by default.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="SQL condition over `candidates`: the traces to repair.")
    ] = None,
    patterns: PatternsOption = None,
    json: JsonOption = False,
) -> None:
    """Truncate risky traces before their first risky sentence and regenerate the rest; the originals are kept.

    Example: curate repair --model ./R1-7B --where "strategy = 'default'"
    Example: curate repair --model ./R1-7B --patterns ours --annotators codebook:ours --accept "not coalesce(ours_bad, false)"
    """
    from curation import console
    from curation.generate import repair as stage
    from curation.recipe import from_options

    given |= {
        ("generate", "strategies"): listed(strategies),
        ("generate", "strategy_files"): strategy_file or None,
    }
    given |= {("tries",): tries, ("where",): where, ("patterns",): listed(patterns)}
    report(
        stage.run(corpus, from_options(stage.RepairRecipe, recipe, given)),
        json,
        lambda manifest: console.json_result(manifest.summary),
    )
