"""`curate calibrate`: saves the score thresholds above which a label is positive, per annotator and pattern.

Thresholds are chosen on people's labels for a minimum precision or the best macro-F1, and saved in the corpus (table `calibrations`) as a
new version that applies in the consensus from then on; older versions are kept. Annotators without scores get no threshold, but
precision and recall.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from annotators.statistics.acceptance import ThresholdChoice, choose_threshold
from annotators.statistics.calibration import (
    Confusion,
    ReviewedLabel,
    ThresholdTarget,
    calibration_error,
    confusion,
    reliability,
)
from annotators.statistics.prevalence import precision_at, prevalence
from curation import console
from curation.corpus.candidates import annotator_names
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, known_entries, open_tables, select
from curation.corpus.store import Store
from curation.recipe import Recipe
from curation.versions import versions
from schemas.choices import meant
from schemas.errors import RecipeError, UsageError
from schemas.ids import content_id
from schemas.manifest import Counts, Manifest
from schemas.patterns import RISKY_PATTERNS

STAGE = "calibrate"


class CalibrateRecipe(Recipe):
    """What `curate calibrate` may be told."""

    precision: float | None = Field(default=None, gt=0, le=1)
    """Minimum precision; by default the best macro-F1."""
    annotators: tuple[str, ...] = ()
    """Names without versions; all by default."""
    patterns: tuple[str, ...] = RISKY_PATTERNS
    """Entries of codebooks, or the name of a codebook for all of its entries."""


class Calibrated(NamedTuple):
    """The calibration of one annotator and pattern."""

    annotator: str
    pattern: str
    choice: ThresholdChoice
    abstained: int
    """Traces labelled by people on which it abstained; not in the other figures."""
    now: Confusion
    """With the threshold, on the labels that chose it."""
    judgements: Sequence[ReviewedLabel]


def calibrated(rows: Sequence[Mapping[str, Any]], target: ThresholdTarget) -> list[Calibrated]:
    """Calibrate each annotator and pattern.

    Args:
        rows: of sql/calibration_labels.sql.
        target: what the thresholds are for.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["annotator"], row["pattern"]].append(row)
    calibrations = []
    for (annotator, pattern), mine in groups.items():
        spoke = [
            ReviewedLabel(row["score"], row["label"], row["truth"], row["prompt_id"], row["disputed"])
            for row in mine
            if row["label"] is not None
        ]
        choice = choose_threshold(spoke, target)
        abstained = len(mine) - len(spoke)
        calibrations.append(
            Calibrated(annotator, pattern, choice, abstained, confusion(spoke, choice.threshold), spoke)
        )
    return calibrations


def _check_names(recipe: CalibrateRecipe, there: Sequence[str]) -> None:
    for name in recipe.annotators:
        if name not in there:
            raise UsageError(
                f"annotators: no labels by {name!r}{meant(name, there)}; this corpus has {', '.join(there) or 'none'}"
            )


def run(corpus_dir: Path, recipe: CalibrateRecipe) -> Manifest:
    """Find thresholds, keep them in the corpus, and say in the summary how each annotator does on people's labels.

    Raises:
        UsageError: if an annotator or pattern is unknown; lists those there are.
        RecipeError: if no trace is labelled by people and by one of the annotators.
        CorpusError: if the corpus is missing or cannot be written.
    """
    corpus, target = Store(corpus_dir), ThresholdTarget(recipe.precision)
    connection = connect(corpus)
    _check_names(recipe, annotator_names(connection))
    patterns = known_entries(connection).wanted(recipe.patterns)
    rows = [
        row
        for row in select(connection, sql_file("curation.annotate", "calibration_labels.sql")).to_pylist()
        if row["pattern"] in patterns
        and (not recipe.annotators or row["annotator"].partition("@")[0] in recipe.annotators)
    ]
    if not rows:
        whom = ", ".join(recipe.annotators) or "any annotator"
        raise RecipeError(
            f"no trace is labelled by people and by {whom}; get labels with `curate review push`"
        )
    calibrations = calibrated(rows, target)
    abstained = sum(one.abstained for one in calibrations)
    manifest = Manifest(
        stage=STAGE,
        recipe=recipe.model_dump(mode="json"),
        versions=versions("lrm-curate"),
        counts=Counts(
            rows=len(rows),
            kept=len(rows) - abstained,
            filtered={"abstained": abstained} if abstained else {},
        ),
        summary={
            "version": _keep(corpus, calibrations, target),
            "target": target.name,
            "warnings": _warnings(rows),
            "annotators": [_report(one) | _in_corpus(connection, one) for one in calibrations],
        },
    )
    corpus.write_manifest(manifest)
    return manifest


def show(manifest: Manifest) -> None:
    """Print the calibrations."""
    report: Any = manifest.summary
    console.say(f"calibrate: version {report['version']}, for {report['target']}")
    for warning in report["warnings"]:
        console.say(f"warning: {warning}")
    rows = [
        {
            "annotator": one["annotator"],
            "pattern": one["pattern"],
            "threshold": one["why"] if one["threshold"] is None else f"{one['threshold']:.3f}",
            "precision [95 %]": _shown(one["precision"]),
            "recall [95 %]": _shown(one["recall"]),
            "held out": _pair(one["held_out"]),
            "precision in the corpus": _corpus_precision(one["in_corpus"]),
            "true / traces": f"{one['positives']} / {one['traces']}",
        }
        for one in report["annotators"]
    ]
    console.show_rows(list(rows[0]), rows)


def _keep(corpus: Store, calibrations: Sequence[Calibrated], target: ThresholdTarget) -> int:
    """Save a new version, unless the last one of these annotators and patterns is equal."""
    with corpus.writing("calibrations"):
        connection = open_tables(corpus)
        known = known_entries(connection)
        kept = select(connection, "select * from calibrations order by version").to_pylist()
        latest = {(row["annotator"], row["pattern"]): row for row in kept}
        last: int = max((row["version"] for row in kept), default=0)
        rows = [_row(one, target, known.version_of(one.pattern)) for one in calibrations]
        if all(_same(latest.get((row["annotator"], row["pattern"])), row) for row in rows):
            return last
        version = last + 1
        identity = content_id([version, rows])
        corpus.append_rows(
            "calibrations", [{"calibration_id": identity, "version": version, **row} for row in rows]
        )
        return version


def _row(one: Calibrated, target: ThresholdTarget, version: int) -> dict[str, Any]:
    return {
        "annotator": one.annotator,
        "pattern": one.pattern,
        "codebook": version,
        "target": target.name,
        "threshold": one.choice.threshold,
        "traces": len(one.judgements),
        **one.now._asdict(),
    }


def _same(kept: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    return kept is not None and all(kept[name] == value for name, value in row.items())


def _report(one: Calibrated) -> dict[str, Any]:
    bins = reliability(one.judgements)
    return {
        "annotator": one.annotator,
        "pattern": one.pattern,
        "threshold": one.choice.threshold,
        "why": one.choice.why,
        "traces": len(one.judgements),
        "disputed": sum(judgement.disputed for judgement in one.judgements),
        "positives": sum(judgement.truth for judgement in one.judgements),
        "abstained": one.abstained,
        **_rates(one.now),
        "held_out": _rates(one.choice.held_out) if one.choice.held_out else None,
        "calibration_error": calibration_error(bins),
        "reliability": [b._asdict() | {"interval": list(b.interval)} for b in bins],
    }


def _in_corpus(connection: Connection, one: Calibrated) -> dict[str, Any]:
    """How common the pattern is in the corpus, and the precision there."""
    settings = {"annotator": one.annotator, "pattern": one.pattern, "threshold": one.choice.threshold}
    query = sql_file("curation.annotate", "positives.sql")
    traces, positives = connection.execute(query, settings).fetchall()[0]
    # Held-out rates belong to the thresholds; an annotator that keeps its own labels has chosen nothing on them.
    measured = one.choice.held_out if one.choice.threshold is not None and one.choice.held_out else one.now
    common = prevalence(positives / traces, measured) if traces else None
    precision = None if common is None else precision_at(common, measured)
    return {"in_corpus": {"traces": traces, "prevalence": common, "precision": precision}}


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    disputed = sum(row["disputed"] for row in rows)
    if 2 * disputed <= len(rows):
        return []
    return [
        f"{disputed} of {len(rows)} labels come from a disputed queue: precision and recall are those of doubtful traces, not of "
        "the corpus; review a random sample with: curate review push --audit 1"
    ]


def _corpus_precision(found: Mapping[str, Any]) -> str:
    if found["precision"] is None:
        return "-"
    return f"{found['precision']:.2f} at {100 * found['prevalence']:.1f} %"


def _rates(confusion_matrix: Confusion) -> dict[str, Any]:
    intervals = confusion_matrix.intervals()
    rates: dict[str, Any] = {
        name: {
            "value": getattr(confusion_matrix, name),
            "low": i.low if i else None,
            "high": i.high if i else None,
        }
        for name, i in intervals.items()
    }
    return rates | {"f1": confusion_matrix.f1, **confusion_matrix._asdict()}


def _shown(rate: Mapping[str, Any]) -> str:
    value = rate["value"]
    return "-" if value is None else f"{value:.2f} [{rate['low']:.2f}, {rate['high']:.2f}]"


def _pair(rates: Mapping[str, Any] | None) -> str:
    if rates is None:
        return "-"
    values = [rates[name]["value"] for name in ("precision", "recall")]
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values)
