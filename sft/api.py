"""The Python API of training and scoring: a few lines around the stages, as the commands are. `import sft`."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas import showing
from schemas.choices import (
    ControlPolicy,
    Dtype,
    InfluenceMethod,
    InfluenceSimilarity,
    LossOn,
    ScoredThink,
    check_choice,
)
from schemas.errors import CorpusError, DataError

if TYPE_CHECKING:
    from curation import Corpus, Mix
    from schemas.manifest import Manifest
    from sft.comparison.results import Comparison
    from sft.proof.check import Proof
    from sft.scoring.scores import Scores
    from sft.training.config import TrainConfig
    from sft.update.stage import WeightUpdate

File = str | PathLike[str]
TOLD = ("steps", "train_loss", "tokens", "longest_row", "base_model", "mix_id")


class Run:
    """A finished training run: the folder that `train` or `sft run` made.

    Args:
        folder: where it is.

    Raises:
        DataError: if there is no finished run.
    """

    def __init__(self, folder: File) -> None:
        from curation.reading import read_model
        from schemas.manifest import Manifest

        self.folder = Path(folder)
        try:
            self.manifest: Manifest = read_model(self.folder / "manifest.json", Manifest)
        except (OSError, CorpusError) as error:
            raise DataError(
                f"{folder}: no finished run ({error}); make one with sft.train(CONFIG)"
            ) from error

    def __fspath__(self) -> str:
        return fspath(self.folder)

    @property
    def model(self) -> Path:
        """The folder of the trained model or adapter, with its tokenizer."""
        return self.folder / "model"

    @property
    def scores(self) -> "Scores | None":
        """What `score` found last; null where the run has not been scored.

        Raises:
            DataError: if the file is damaged.
        """
        from curation.reading import read_model
        from sft.scoring.scores import SCORES, Scores

        path = self.folder / SCORES
        try:
            return read_model(path, Scores) if path.is_file() else None
        except CorpusError as error:
            raise DataError(f"{path}: cannot be read ({error}); score the run again") from error

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}: {self.manifest.counts.kept:,} rows, {self._steps()}>"

    def _repr_html_(self) -> str:
        summary = self.manifest.summary
        told = showing.pairs({name: summary.get(name) for name in TOLD}, "of the run", "value")
        scores = self.scores
        return showing.page(repr(self).strip("<>"), {"": told, **(scores.tables() if scores else {})})

    def _steps(self) -> str:
        return f"{self.manifest.summary.get('steps')} steps, {'scored' if self.scores else 'not scored'}"


def check(
    mix: "Mix | File",
    model: "Run | File",
    revision: str | None = None,
    max_length: int = 4096,
    *,
    loss_on: LossOn = "last",
    control_tokens: ControlPolicy = "refuse",
    markup: Mapping[str, str] | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> "Proof":
    """Prove that every row of a mix teaches its whole reasoning, answer and EOS to this model, and nothing else.

    Args:
        mix: a mix, or its folder.
        model: a model folder (its tokenizer is enough), a run, or a hub name.
        revision: the commit of a hub model.
        max_length: longest row in tokens.
        loss_on: last, or all turns of the assistant.
        control_tokens: refuse, escape or allow texts with control tokens of the model.
        markup: the marks around reasoning and answer (before, between), where the chat template does not show them.
        chat_template_kwargs: what the chat template is given by name.

    Raises:
        UsageError: for an unknown choice.
        RenderError: naming the rows that are not proven, why, and what to do; `train` would refuse them.
        DataError: if the mix cannot be read.
        EngineError: if the tokenizer cannot be loaded.
    """
    from curation.engines.templates import check_template_settings
    from curation.engines.weights import load_tokenizer, locate
    from curation.recipe import from_arguments
    from sft.proof.check import prove, require_proof
    from sft.proof.markup import ToldMarkup
    from sft.proof.mix import read_mix
    from sft.proof.templated import Rendering

    check_choice("loss_on", loss_on, LossOn)
    check_choice("control_tokens", control_tokens, ControlPolicy)
    place, tokenizer = fspath(mix), load_tokenizer(locate(fspath(model), revision))
    told = None if markup is None else from_arguments(ToldMarkup, None, dict(markup))
    settings = check_template_settings(dict(chat_template_kwargs or {}))
    rendering = Rendering(loss_on, control_tokens, None, told, settings)
    proof = prove(tokenizer, read_mix(Path(place)).rows, max_length, rendering=rendering)
    require_proof(proof, place, fspath(model))
    return proof


def train(config: "File | TrainConfig") -> Run:
    """Train on a mix, after proving every row. Goes on where a killed run stopped; a finished one is not trained again.

    Args:
        config: a YAML file, or its settings as an object.

    Raises:
        RecipeError: naming every fault of the config with its line, or if its folder holds another run.
        DataError: if the mix cannot be read.
        RenderError: if a row is not proven; nothing has been trained then.
        EngineError: if the model cannot be loaded.
        TrainingError: if the loss diverges.
        MissingExtraError: if the training libraries are not installed.
    """
    from curation.recipe import load_recipe
    from sft.training import stage
    from sft.training.config import TrainConfig

    settings = config if isinstance(config, TrainConfig) else load_recipe(Path(config), TrainConfig).recipe
    stage.train(settings)
    return Run(settings.out)


def score(
    model: "Run | File",
    corpus: "Corpus | File",
    suite: str | Sequence[str] = "all",
    *,
    protocol: str | None = None,
    limit: int | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    samples: int | None = None,
    think: ScoredThink | None = None,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    annotators: Sequence[str] | None = None,
    judge: Sequence[str] | None = None,
    judge_model: str | None = None,
    judge_url: str | None = None,
    engine: str = "auto",
    dtype: Dtype = "auto",
    base_url: str | None = None,
    tokenizer: str | None = None,
    revision: str | None = None,
    out: File | None = None,
) -> "Scores":
    """Ask a model the prompts of an evaluation corpus and count attack success, over-refusal and accuracy.

    Args:
        model: a run, a model or adapter folder, a hub name, or a server's name for its model.
        corpus: the evaluation corpus; takes the replies.
        suite: names of suites (`sft suites`) or files; every suite that the corpus has prompts for by default.
        protocol: suites with a paper's settings, by name or file.
        limit: ask at most so many prompts of each suite.
        max_new_tokens: longest reply; what runs into it is counted apart. This and the next four replace what suites say.
        temperature: 0 is greedy.
        top_p: of the sampling.
        samples: replies per prompt; several need a temperature.
        think: as_is, zero (chain of thought off) or less.
        chat_template_kwargs: what the model's chat template is given by name.
        annotators: who judges in any case; null: the rules, and of refusals the embedded classifier where it can be loaded.
        judge: judges with a model, such as guard:llama-guard.
        judge_model: their model.
        judge_url: its server.
        engine: auto, vllm, transformers or openai.
        dtype: precision of the weights; auto: what the hardware is fast in.
        base_url: a server's address.
        tokenizer: the folder of its model's tokenizer, without which a reply cannot be begun.
        revision: the commit of a hub model.
        out: folder for scores.json and outcomes.jsonl, which `compare` reads; a run keeps its own.

    Raises:
        RecipeError: if a setting is wrong.
        EngineError: if the model cannot be loaded, or a prompt got no reply.
        CorpusError: if there is no such corpus.
        DataError: if it has no prompts for the suite.
    """
    from curation.engines.settings import EngineSettings
    from curation.recipe import from_arguments
    from sft.scoring import judging, stage
    from sft.scoring.suite_files import HowAsked, choose

    if think is not None:
        check_choice("think", think, ScoredThink)
    given_how = {
        "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "samples": samples, "think": think,
        "chat_template_kwargs": chat_template_kwargs,
    }  # fmt: skip
    how = from_arguments(
        HowAsked, None, {name: value for name, value in given_how.items() if value is not None}
    )
    chosen = choose([suite] if isinstance(suite, str) else list(suite), protocol, how)
    server = {"base_url": base_url, "tokenizer": tokenizer} if base_url else None
    given = {
        "kind": engine, "model": fspath(model), "revision": revision, "dtype": dtype, "server": server,
    }  # fmt: skip
    return stage.score_model(
        Path(corpus),
        from_arguments(EngineSettings, None, given),
        suites=chosen,
        judging=judging.recipe(annotators, judge, judge_model, judge_url),
        out=Path(out) if out else None,
        limit=limit,
    )


def compare(
    models: Sequence["Run | File"], names: Sequence[str] = (), base: str | None = None
) -> "Comparison":
    """Put scored models side by side: rates with intervals, which differences are significant, and the prompts that flipped.

    Args:
        models: scored runs, or folders that `score` was given as `out`.
        names: what to call them; the folders' names by default.
        base: name of the model that the others are measured against, as for ablations.

    Raises:
        DataError: naming every folder without scores, or asked or judged in another way than the first.
    """
    from sft.comparison import stage

    return stage.compare(stage.load([Path(model) for model in models], names, unread_allowed=True), base)


def diff(
    run: "Run | File", base: "Run | File | None" = None, other: "Run | File | None" = None
) -> "WeightUpdate":
    """Where training changed a model: relative update, share and effective rank by layer, module and tensor.

    Args:
        run: a run, a model folder or an adapter.
        base: the model it started from; by default what the run names.
        other: another run from the same base; adds the cosine between both updates.

    Raises:
        DataError: if the base is not known, a file is damaged, or the models differ in architecture.
        EngineError: if there is no such model.
    """
    from sft.update import stage

    named = [None if model is None else fspath(model) for model in (base, other)]
    return stage.compare(fspath(run), *named)


def attribute(
    run: "Run | File",
    evaluation: "Corpus | File",
    on: "Run | File | None" = None,
    *,
    flips: "Run | File | None" = None,
    also: Sequence["Run | File"] = (),
    suite: str | None = None,
    measure: str | None = None,
    category: str | None = None,
    prompt_id: str | None = None,
    limit: int | None = None,
    method: InfluenceMethod = "gradients",
    similarity: InfluenceSimilarity = "product",
    projection: int | None = None,
    seed: int | None = None,
    corpus: "Corpus | File | None" = None,
    out: File | None = None,
) -> "Manifest":
    """Rank the rows of a run's mix by how much they taught the model a behaviour.

    Args:
        run: a finished run; with `snapshots` in its config its course is followed, else only its end is known.
        evaluation: the corpus that it was scored on.
        on: the scored model, a run or a folder of scores; `run` by default.
        flips: scores of another model: only prompts that flipped between the two.
        also: runs of the same config with other seeds; rows are ranked by the mean over all runs.
        suite: one suite; each is a behaviour by default.
        measure: such as refuses; the suite's headline by default.
        category: only prompts of this category.
        prompt_id: only this prompt.
        limit: at most so many replies with the measure, and without; 100 by default.
        method: gradients, states or loss.
        similarity: of gradients: product or cosine.
        projection: numbers kept of each gradient, 8192 by default; 0 is exact.
        seed: of the projection.
        corpus: the corpus of the mix, to keep the result in as well.
        out: folder of result and cache; `attribution` in the run's folder by default.

    Returns:
        Its `summary` names the behaviours, their strongest rows, and the files with all rows and the page.

    Raises:
        DataError: if there is no finished run, its mix is not the one it was trained on, another run differs in more than its seed or
            is given twice, or there are no such outcomes.
        RecipeError: for an unknown suite, measure or choice.
        CorpusError: if a corpus is none, or cannot be written.
        EngineError: if the model cannot be loaded.
    """
    from curation.recipe import from_arguments
    from sft.attribution import stage
    from sft.attribution.recipe import AttributeRecipe

    given = {
        "method": method, "similarity": similarity, "projection": projection, "seed": seed, "suite": suite,
        "measure": measure, "category": category, "prompt_id": prompt_id, "limit": limit,
    }  # fmt: skip
    known = {name: value for name, value in given.items() if value is not None}
    return stage.attribute(
        Path(run), Path(on or run), Path(evaluation), from_arguments(AttributeRecipe, None, known),
        other=Path(flips) if flips else None, also=[Path(one) for one in also], corpus=Path(corpus) if corpus else None, out=Path(out) if out else None,
    )  # fmt: skip
