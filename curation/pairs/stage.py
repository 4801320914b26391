"""`curate build-pairs`: one corpus for trainers other than SFT: preferences, labels, prompts and steps, each with the traces it came from.

    OUT/dpo.jsonl       prompt, chosen, rejected as message lists (TRL's DPOTrainer)
    OUT/kto.jsonl       prompt, completion, label: each trace of a pair once (KTOTrainer)
    OUT/grpo.jsonl      prompt, kind, reference_answer: each prompt of a pair once (GRPOTrainer; `sft.training.reward` judges replies)
    OUT/steps.jsonl     prompt, completions, labels: sentences of the reasoning, false where a risky pattern shows (PRMTrainer)
    OUT/traces.parquet  the traces as rows, on which `sft run` trains DPO (`curation.pairs.folder`)
    OUT/manifest.json   written last

The surprise: a risky trace whose annotators gave no evidence spans says nothing about its sentences, so it has no line in
steps.jsonl and is counted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from annotators.sentences import split
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, risky_spans, select
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition
from curation.mix import summary
from curation.pairs import folder
from curation.pairs.folder import STAGE, Pair
from curation.recipe import Loaded, Recipe, load_recipe
from curation.release.export import TEMPLATES, Line, prompt_completion
from curation.versions import versions
from schemas.choices import ChatTemplate, Policy
from schemas.errors import RecipeError
from schemas.manifest import Counts, Manifest
from schemas.patterns import RISKY_PATTERNS

MATCHED = {"prompt": "b.prompt_id = g.prompt_id", "parent": "b.trace_id = g.parent_id"}
NO_LIMIT = 2**62


class PairsRecipe(Recipe):
    """Which traces are preferred over which."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    description: str = ""
    chosen: str
    """SQL condition over `candidates`: the preferred traces."""
    rejected: str
    """SQL condition over `candidates`: the others."""
    by: Literal["prompt", "parent"] = "prompt"
    """prompt: two traces of one prompt; parent: a repaired trace and the one it repairs."""
    per_prompt: int = Field(default=1, ge=1)
    """Pairs of one prompt."""
    take: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """How many pairs."""
    template: ChatTemplate = "think"
    """The chat template of the model that is trained: decides where messages have the reasoning."""
    consensus: Policy = "ranked"
    """How annotators that differ come to one label (docs/annotators.md)."""
    seed: int = 42


Texts = Mapping[str, Line]
"""Columns of a trace by its id."""
Risky = Mapping[str, Sequence[tuple[int, int]]]
"""Where the reasoning of a trace is risky, in code points, by its id."""


def dpo(pairs: Iterable[Pair], texts: Texts, template: ChatTemplate) -> Iterator[Line]:
    """Prompt, chosen and rejected, as lists of messages."""
    for pair in pairs:
        good, bad = (_said(texts[trace], template) for trace in pair)
        ids = {"pair_id": pair.pair_id, "chosen_trace_id": pair.chosen, "rejected_trace_id": pair.rejected}
        yield (
            ids
            | {"prompt": good["prompt"], "chosen": good["completion"], "rejected": bad["completion"]}
            | _tools(good)
        )


def kto(pairs: Sequence[Pair], texts: Texts, template: ChatTemplate) -> Iterator[Line]:
    """Prompt, completion and whether it is preferred: a trace of several pairs once, one preferred here and rejected there not at all."""
    preferred, others = {pair.chosen: True for pair in pairs}, {pair.rejected: False for pair in pairs}
    for trace, label in {**preferred, **others}.items():
        if not (trace in preferred and trace in others):
            yield {"trace_id": trace, **_said(texts[trace], template), "label": label}


def grpo(pairs: Iterable[Pair], texts: Texts, template: ChatTemplate) -> Iterator[Line]:
    """Each prompt once, with what a reward needs to know of it."""
    prompts = {texts[pair.chosen]["prompt_id"]: texts[pair.chosen] for pair in pairs}
    for prompt, row in prompts.items():
        said = _said(row, template)
        told = {key: row[key] for key in ("kind", "reference_answer")}
        yield {"prompt_id": prompt, "prompt": said["prompt"], **told} | _tools(said)


def steps(pairs: Iterable[Pair], texts: Texts, risky: Risky) -> Iterator[Line]:
    """The sentences of each reasoning, and whether each is free of risky patterns; as plain text, as TRL's PRMTrainer takes it."""
    for trace in dict.fromkeys(trace for pair in pairs for trace in pair):
        row = texts[trace]
        known = risky.get(trace, ())
        if row["any_risk"] is None or (row["any_risk"] and not known):
            continue
        sentences = list(_sentences(row["reasoning"]))
        if not sentences:
            continue
        labels = [
            not any(start < last and first < end for first, last in known) for start, end, _ in sentences
        ]
        yield {
            "trace_id": trace,
            "prompt": row["prompt"],
            "completions": [text for _, _, text in sentences],
            "labels": labels,
        }


def run(corpus_dir: Path, recipe: Loaded[PairsRecipe], *, out: Path) -> Manifest:
    """Build the pairs of a recipe into a new folder, or over an earlier build.

    Raises:
        RecipeError: for faults in the conditions, or if no pair matches; says what each condition matches.
        CorpusError: if the corpus or the folder cannot be used.
    """
    settings, lines = recipe
    folder.check_target(out)
    corpus = Store(corpus_dir)
    connection = connect(corpus, policy=settings.consensus)
    faults = []
    for name in ("chosen", "rejected"):
        try:
            check_condition(connection, getattr(settings, name))
        except RecipeError as error:
            faults.append(lines.error((name,), f"SQL error: {error}"))
    if faults:
        raise RecipeError("\n".join(faults))
    states = _states(connection, settings)
    pairs = [Pair(row["chosen"], row["rejected"]) for row in states if row["state"] == "kept"]
    counts = Counts(rows=len(states), kept=len(pairs))
    for state in sorted({row["state"] for row in states} - {"kept"}):
        counts.add("filtered", state, sum(row["state"] == state for row in states))
    if not pairs:
        raise RecipeError(f"{lines.file}: {_nothing(connection, settings, counts)}")
    texts = _texts(connection, pairs)
    found = {
        "dpo": list(dpo(pairs, texts, settings.template)),
        "kto": list(kto(pairs, texts, settings.template)),
        "grpo": list(grpo(pairs, texts, settings.template)),
        "steps": list(steps(pairs, texts, _risky(connection, texts))),
    }
    manifest = Manifest(
        stage=STAGE,
        inputs=summary.sources(corpus),
        recipe=settings.model_dump(mode="json"),
        seed=settings.seed,
        versions=versions("lrm-curate", "duckdb"),
        counts=counts,
        summary={
            **{f"{name}_lines": len(rows) for name, rows in found.items()},
            "traces_without_step_labels": len(texts) - len(found["steps"]),
        },
    )
    return folder.write(out, pairs, folder.rows_of(texts, pairs), found, manifest)


def load(recipe: Path | str) -> Loaded[PairsRecipe]:
    """A recipe of the user, or one that is shipped, by its name.

    Raises:
        RecipeError: naming every fault with its line, or the shipped recipes if there is no such file.
    """
    path = Path(recipe)
    known = shipped_recipes()
    if not path.is_file() and str(recipe) in known:
        path = known[str(recipe)]
    if not path.is_file():
        raise RecipeError(f"{recipe}: no such file; shipped recipes for pairs are {', '.join(known)}")
    return load_recipe(path, PairsRecipe)


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package."""
    folder = Path(str(files("curation.pairs") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _states(connection: Connection, recipe: PairsRecipe) -> list[dict[str, Any]]:
    query = sql_file(
        "curation.pairs",
        "pairs.sql",
        chosen=recipe.chosen,
        rejected=recipe.rejected,
        matched=MATCHED[recipe.by],
    )
    take = NO_LIMIT if recipe.take == "all" else recipe.take
    values = {"seed": str(recipe.seed), "per_prompt": recipe.per_prompt, "take": take}
    return list(select(connection, query, values).to_pylist())


def _nothing(connection: Connection, recipe: PairsRecipe, counts: Counts) -> str:
    if counts.filtered.get("contaminated"):
        return f"all {counts.rows} pairs contain an evaluation prompt (`curate decontaminate`)"
    query = sql_file("curation.pairs", "funnel.sql", chosen=recipe.chosen, rejected=recipe.rejected)
    (row,) = select(connection, query).to_pylist()
    if recipe.by == "parent" and row["chosen"] and row["rejected"]:
        return "no chosen trace repairs a rejected one; make such with: curate repair"
    return (
        f'no pair matches: "chosen" {row["chosen"]} traces, "rejected" {row["rejected"]}, prompts with both {row["prompts"]}; '
        "relax a condition, annotate the traces, or generate several traces for a prompt (curate generate, curate sample)"
    )


def _texts(connection: Connection, pairs: Sequence[Pair]) -> dict[str, Line]:
    ids = sorted({trace for pair in pairs for trace in pair})
    risky = ", ".join(f"case when {name} then '{name}' end" for name in RISKY_PATTERNS)
    rows = select(connection, sql_file("curation.pairs", "texts.sql", patterns=risky), {"ids": ids})
    return {row["trace_id"]: row for row in rows.to_pylist()}


def _risky(connection: Connection, texts: Texts) -> Risky:
    places: dict[str, list[tuple[int, int]]] = {}
    for row in risky_spans(connection):
        if row["field"] == "reasoning" and row["trace_id"] in texts:
            places.setdefault(row["trace_id"], []).append((row["start"], row["end"]))
    return places


def _said(row: Line, template: ChatTemplate) -> Line:
    said = prompt_completion({"row_id": row["trace_id"], **row}, TEMPLATES[template])
    return {key: value for key, value in said.items() if key != "row_id"}


def _tools(said: Line) -> Line:
    return {"tools": said["tools"]} if "tools" in said else {}


def _sentences(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end (code points) and text of each sentence."""
    found = split(text.encode("utf-8"))
    at = 0
    byte = 0
    for first, last in zip(found.starts, found.ends, strict=True):
        at += len(found.data[byte:first].decode("utf-8"))
        sentence = found.data[first:last].decode("utf-8")
        yield at, at + len(sentence), sentence
        at, byte = at + len(sentence), last
