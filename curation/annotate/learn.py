"""`curate train-annotator --labels`: adapt the embedding annotator to a corpus's own labels, people's or a judge's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotators.statistics.intervals import wilson
from annotators.statistics.labels_needed import labels_until_known, labels_until_reached
from curation import console
from curation.annotate.judging import to_traces
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from schemas.errors import RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

if TYPE_CHECKING:
    from annotators.embedding.adapting import AdaptedPattern
    from annotators.embedding.examples import Example

LEAST = 50
"""Labelled traces below which nothing is learned."""
BATCH = 512


def learn(corpus_dir: Path, labellers: Sequence[str], out: Path) -> dict[str, Any]:
    """Adapt the shipped annotator, save it, and report what held-out labels say of it.

    Args:
        corpus_dir: the corpus.
        labellers: "people" and annotators without versions; the first that labelled a trace counts.
        out: a folder for weights and card.

    Raises:
        RecipeError: if there are too few labels.
        CorpusError: if there is no corpus.
        MissingExtraError: if the extra `models` is not installed.
    """
    corpus = Store(corpus_dir)
    examples = gather(corpus, labellers)
    from annotators.embedding.adapting import adapt
    from annotators.embedding.model import open_model

    command = f"curate train-annotator --labels {','.join(labellers)}"
    adapted = adapt(open_model(), examples, command)
    adapted.model.save(out)
    return {
        "out": str(out),
        "annotator": f"embedding:{adapted.model.card.variant}@{adapted.model.card.name}",
        "traces": len(examples),
        "patterns": [_reported(one) for one in adapted.patterns],
    }


def gather(corpus: Store, labellers: Sequence[str]) -> "list[Example]":
    """The labelled traces of a corpus; traces of one prompt form a group."""
    query = sql_file("curation.annotate", "learn_labels.sql")
    labels: dict[str, dict[str, bool | None]] = {}
    for row in select(connect(corpus), query, {"names": list(labellers)}).to_pylist():
        if row["pattern"] in RISKY_PATTERNS:
            labels.setdefault(row["trace_id"], {})[row["pattern"]] = row["label"]
    if len(labels) < LEAST:
        raise RecipeError(
            f"{len(labels)} traces are labelled by {', '.join(labellers)}, {LEAST} are needed; label more with `curate review push` or "
            "`curate annotate --annotators judge:NAME`, or name other labellers with --labels"
        )
    from annotators.embedding.examples import Example

    return [Example(t, labels[t.trace_id], {}, t.prompt_id) for t in _traces(corpus, labels)]


def show(report: Mapping[str, Any]) -> None:
    """Print what was learned."""
    console.say(f"{report['out']}: {report['annotator']}, from {report['traces']} labelled traces; held out:")
    rows = [
        {
            "annotator": one["kind"],
            "pattern": one["pattern"],
            "F1 shipped": _number(one["shipped"]["f1"]),
            "F1 adapted": _number(one["adapted"]["f1"]),
            "kept": "adapted" if one["accepted"] else "shipped",
            "recall by labels [95 %]": "; ".join(_point(point) for point in one["curve"]),
            "more labels until": _until(one),
        }
        for one in report["patterns"]
    ]
    console.show_rows(list(rows[0]), rows)
    if kept := sorted({one["pattern"] for one in report["patterns"] if not one["accepted"]}):
        console.say(
            f"no better than the shipped annotator on held-out labels, so left as shipped: {', '.join(kept)}"
        )


def _traces(corpus: Store, labels: Mapping[str, Any]) -> list[Trace]:
    return [
        trace
        for batch in corpus.scan("traces", tuple(Trace.model_fields), BATCH)
        for trace in to_traces(batch)
        if trace.trace_id in labels
    ]


def _reported(one: "AdaptedPattern") -> dict[str, Any]:
    curve = [(point.labels, point.found.recall) for point in one.curve]
    return {
        "kind": one.kind,
        "pattern": one.pattern,
        "accepted": one.accepted,
        "shipped": _rates(one.shipped),
        "adapted": _rates(one.adapted),
        "curve": [{"labels": point.labels, **_rates(point.found)} for point in one.curve],
        "labels_until_recall_reached": labels_until_reached(curve),
        "labels_until_recall_known": labels_until_known(one.adapted),
    }


def _rates(found: Any) -> dict[str, Any]:
    positives = found.true_positives + found.false_negatives
    interval = wilson(found.true_positives, positives) if positives else None
    return {
        "precision": found.precision,
        "recall": found.recall,
        "recall_interval": list(interval) if interval else None,
        "f1": found.f1,
        "macro_f1": found.macro_f1,
    }


def _point(point: Mapping[str, Any]) -> str:
    if point["recall"] is None:
        return f"{point['labels']}: -"
    low, high = point["recall_interval"]
    return f"{point['labels']}: {point['recall']:.2f} [{low:.2f}, {high:.2f}]"


def _until(one: Mapping[str, Any]) -> str:
    reached, known = one["labels_until_recall_reached"], one["labels_until_recall_known"]
    until = "recall does not rise" if reached is None else f"about {reached} to recall 0.9"
    return f"{until}; {'-' if known is None else f'about {known}'} to know it +- 0.05"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
