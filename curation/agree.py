"""`curate agree`: how far annotators agree, pattern by pattern: Krippendorff's alpha, Fleiss' kappa, and Cohen's kappa of each pair.

Any annotators may be compared, people among them; "people" is the majority of all people who judged a trace. Labels are
those that count in the consensus, so calibrated thresholds are in force.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from annotators.agreement import Agreement, agreement, cohen, fleiss, pairwise_agreement
from curation import console
from curation.query import Connection, connect, quoted, sql_file
from curation.recipe import Recipe
from curation.store import Corpus
from schemas.errors import RecipeError
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

PEOPLE = "people"

Labels = Mapping[str, Mapping[str, bool]]
"""Annotator -> trace -> label."""


class AgreeRecipe(Recipe):
    """What `curate agree` may be told."""

    annotators: tuple[str, ...] = ()
    """Names without versions, or "people"; every annotator and person of the corpus by default."""
    patterns: tuple[str, ...] = RISKY_PATTERNS


def compare(labels: Labels, names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """How far some annotators agree on one pattern."""
    traces = sorted({trace for name in names for trace in labels.get(name, {})})
    units = [[labels[name][trace] for name in names if trace in labels.get(name, {})] for trace in traces]
    by_all = [unit for unit in units if len(unit) == len(names)]
    pairs = []
    for left, right in combinations(names, 2):
        ours, theirs = labels.get(left, {}), labels.get(right, {})
        both = [(ours[trace], theirs[trace]) for trace in traces if trace in ours and trace in theirs]
        pairs.append(
            {"between": [left, right], "same": pairwise_agreement(both), "cohen": _shown(cohen(both, seed))}
        )
    return {
        "alpha": _shown(agreement(units, seed)),
        "fleiss": _shown(fleiss(by_all, seed)),
        "pairs": pairs,
    }


def run(corpus_dir: Path, recipe: AgreeRecipe) -> dict[str, Any]:
    """Compare annotators of a corpus: pattern -> alpha, fleiss and pairs, each with its 95 % interval and its traces.

    Raises:
        RecipeError: if an annotator or pattern is unknown, or there are not two annotators to compare.
        CorpusError: if there is no corpus.
    """
    known = [entry.name for entry in CODEBOOK]
    if unknown := sorted(set(recipe.patterns) - set(known)):
        raise RecipeError(f"unknown pattern {', '.join(unknown)}; the codebook has {', '.join(known)}")
    labels = read_labels(connect(Corpus(corpus_dir)), recipe.patterns)
    spoke = sorted({name for of_pattern in labels.values() for name in of_pattern})
    names = list(recipe.annotators) or [name for name in spoke if name != PEOPLE]
    if missing := sorted(set(names) - set(spoke)):
        raise RecipeError(
            f"no label by {', '.join(missing)}; those who labelled these patterns: {', '.join(spoke) or 'nobody'}"
        )
    if len(set(names)) < 2:
        raise RecipeError(f"agreement needs two annotators; there is {', '.join(names) or 'none'}")
    return {pattern: compare(labels[pattern], list(dict.fromkeys(names))) for pattern in recipe.patterns}


def read_labels(connection: Connection, patterns: Sequence[str]) -> dict[str, dict[str, dict[str, bool]]]:
    """Pattern -> annotator -> trace -> label, abstentions left out."""
    listed = "(" + ", ".join(quoted(pattern) for pattern in patterns) + ")"
    found: dict[str, dict[str, dict[str, bool]]] = {pattern: {} for pattern in patterns}
    for trace_id, pattern, name, label in connection.execute(
        sql_file("labels.sql", patterns=listed)
    ).fetchall():
        found[pattern].setdefault(name, {})[trace_id] = label
    return found


def show(found: Mapping[str, Any]) -> None:
    """Print agreements for a person."""
    rows = []
    for pattern, one in found.items():
        rows += [_line(pattern, name, "all", one[name]) for name in ("alpha", "fleiss")]
        rows += [
            _line(pattern, "cohen", " / ".join(p["between"]), p["cohen"], p["same"]) for p in one["pairs"]
        ]
    console.show_rows(list(rows[0]), rows)


def _line(
    pattern: str, measure: str, between: str, found: Mapping[str, Any], same: float | None = None
) -> dict[str, str]:
    value = found["value"]
    shown = "undefined" if value is None else f"{value:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    return {
        "pattern": pattern,
        "measure": measure,
        "between": between,
        "value [95 %]": shown if found["traces"] else "-",
        "same": "" if same is None else f"{100 * same:.0f} %",
        "traces": str(found["traces"]),
    }


def _shown(found: Agreement) -> dict[str, Any]:
    return {"value": found.alpha, "low": found.low, "high": found.high, "traces": found.units}
