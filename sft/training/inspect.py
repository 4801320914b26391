"""`sft inspect`: one HTML page about a run: loss curves, loss by part, learning rate, recipe, sample answers.

Everything is read from the run's folder. With `samples`, the base model and the trained one answer the first prompts of
the mix; harmful prompts and their answers are masked except for common words.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation import charts
from curation.corpus.store import write_file
from curation.engines import Sampling
from curation.engines.choosing import open_engine
from curation.engines.settings import EngineSettings
from curation.engines.weights import base_of_run, place_of_run
from curation.masking import mask_words
from curation.page import render
from curation.reading import read_model
from schemas.errors import DataError
from schemas.manifest import Manifest
from schemas.row import Row
from sft.proof.mix import read_mix
from sft.training.config import TrainConfig

SHOWN = (
    "loss",
    "learning_rate",
    "grad_norm",
    "mean_token_accuracy",
    "rewards/accuracies",
    "rewards/margins",
    "presafe_loss",
    "presafe_accuracy",
    "presafe_gradient_share",
)


class SampleAnswers(NamedTuple):
    """One prompt and the answers of both models."""

    prompt: str
    before: str
    after: str


def write_page(folder: Path, *, out: Path, samples: int = 0, max_new_tokens: int = 256) -> None:
    """Write the page.

    Args:
        folder: a run, finished or not.
        out: the HTML file.
        samples: number of the mix's prompts that both models answer; 0 loads no model.
        max_new_tokens: maximum length of an answer.

    Raises:
        DataError: if the folder is not a run, or it is not finished and samples are requested.
    """
    try:
        identity = json.loads((folder / "run.json").read_bytes())
        config = TrainConfig.model_validate({**identity["config"], "out": str(folder)})
        logs = [json.loads(line) for line in _read(folder / "metrics.jsonl").splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: not a run of `sft run` ({error})") from error
    manifest = folder / "manifest.json"
    finished = read_model(manifest, Manifest) if manifest.is_file() else None
    if samples and not finished:
        raise DataError(f"{folder}: the run is not finished, so it has no model yet; omit --samples")
    said = (
        ask(
            config,
            folder,
            read_mix(Path(place_of_run(folder, "mix_places", config.mix))).rows[:samples],
            max_new_tokens,
        )
        if samples
        else []
    )
    page = render(
        "sft.training",
        "inspect.html",
        title=f"Run {folder.resolve().name}",
        charts=metric_charts(logs),
        settings={
            k: v for k, v in config.model_dump().items() if k not in ("out", "model", "mix") and v is not None
        },
        base=identity["base_model"],
        mix=identity["mix_id"],
        finished=finished,
        said=said,
    )
    write_file(out, page.encode())


def metric_charts(logs: Sequence[dict[str, Any]]) -> list[charts.LineChart]:
    """A chart for each logged metric, and one with the validation loss of every part."""
    series = {name: [(e["step"], e[name]) for e in logs if name in e] for name in SHOWN}
    parts = sorted(
        {k for e in logs for k in e if k.startswith("eval_") and k.endswith("_loss") and "presafe" not in k}
    )
    validation = {
        part.removeprefix("eval_").removesuffix("_loss"): [(e["step"], e[part]) for e in logs if part in e]
        for part in parts
    }
    validation_charts = [charts.line_chart("validation loss by part", validation)] if validation else []
    return validation_charts + [
        charts.line_chart(name.replace("_", " "), {name: points}) for name, points in series.items() if points
    ]


def ask(config: TrainConfig, folder: Path, rows: Sequence[Row], max_new_tokens: int) -> list[SampleAnswers]:
    """The answers of the base model and the trained one to the prompts of some rows."""
    conversations = [[{"role": "user", "content": row.prompt}] for row in rows]
    answers = []
    base = base_of_run(folder, config.model)
    sampling = Sampling(max_new_tokens=max_new_tokens, chat_template_kwargs=config.chat_template_kwargs)
    for model in (base, str(folder)):
        revision = config.revision if model == base else None
        engine = open_engine(EngineSettings(kind="transformers", model=model, revision=revision))
        replies = engine.chat(conversations, sampling)
        answers.append([f"{reply.reasoning}\n\n{reply.answer} [{reply.think_state}]" for reply in replies])
    return [
        SampleAnswers(
            *(mask_words(text) if row.kind == "harmful" else text for text in (row.prompt, before, after))
        )
        for row, before, after in zip(rows, *answers, strict=True)
    ]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
