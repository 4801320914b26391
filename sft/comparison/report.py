"""The report: one self-contained HTML file that compares models trained on different mixes.

Everything is read from the folders that the stages wrote, so a report can be made again at any time. Replies to harmful
prompts are masked, except answers judged to be refusals.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation import charts
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store, write_file
from curation.mix.folder import read_manifest
from curation.page import percent, render
from curation.reading import read_model
from schemas.manifest import Counts, Manifest
from schemas.patterns import RISKY_PATTERNS
from sft.comparison.glossary import meanings, words
from sft.comparison.judges import headline_of, same_judge
from sft.comparison.overview import rate_axis
from sft.scoring.masking import masked_reply
from sft.scoring.scores import SCORES, Scores
from sft.scoring.statistics import wilson
from sft.scoring.suites import Rate, SuiteScore

SAMPLES = 2
"""Generations shown per model and suite."""


class ReportEntry(NamedTuple):
    """One line of the comparison."""

    name: str
    mix: Path
    run: Path


class ScoreGroup(NamedTuple):
    """One measure for every model."""

    suite: str
    measure: str
    headline: bool
    """Whether it is the suite's headline."""
    rows: list[tuple[str, SuiteScore, Rate]]
    """Model name, its suite score and its rate."""


def write_page(
    entries: Sequence[ReportEntry],
    corpus_dir: Path,
    evaluation_dir: Path,
    *,
    out: Path,
    title: str,
    note: str,
) -> Path:
    """Write the report; returns where it is.

    Args:
        entries: the mixes and the models trained on them.
        corpus_dir: the corpus the mixes were built from.
        evaluation_dir: the evaluation corpus.
        out: the HTML file.
        title: its heading.
        note: a caveat shown at the top.
    """
    corpus, evaluation = Store(corpus_dir), Store(evaluation_dir)
    scores = {e.name: read_model(e.run / SCORES, Scores) for e in entries}
    groups, strategies = score_groups(scores), pattern_table(corpus)
    page = render(
        "sft.comparison",
        "report.html",
        title=title,
        note=note,
        scores=scores,
        judged=judge_lines(scores),
        groups=groups,
        meanings=meanings(group.measure for group in groups),
        words=words(),
        axis=rate_axis(rate for group in groups for _, _, rate in group.rows),
        mixes={e.name: read_manifest(e.mix) for e in entries},
        patterns=RISKY_PATTERNS,
        strategies=strategies,
        hottest=max((k / n for found in strategies.values() for k, n in found.values()), default=0.0),
        curves=charts.line_chart("loss", {e.name: _losses(e.run) for e in entries}),
        accounting=_accounting(corpus, evaluation, entries),
        agreement=agreement_rows(
            select(open_tables(corpus), sql_file("sft.comparison", "rules_against_author.sql")).to_pylist()
        ),
        generations={
            name: _generations(evaluation, model_scores.model) for name, model_scores in scores.items()
        },
    )
    write_file(out, page.encode())
    return out


def score_groups(scores: dict[str, Scores]) -> list[ScoreGroup]:
    """Every rate of every model, grouped by measure."""
    found: dict[tuple[str, str], ScoreGroup] = {}
    for name, of_model in scores.items():
        for suite in of_model.suites:
            for rate in suite.rates:
                headline = rate.measure == headline_of(suite)
                group = ScoreGroup(suite.suite, rate.measure, headline, [])
                found.setdefault((suite.suite, rate.measure), group).rows.append((name, suite, rate))
    return list(found.values())


def judge_lines(scores: dict[str, Scores]) -> list[str]:
    """Who judged each suite; model by model where that was not the same."""
    found: dict[str, dict[str, SuiteScore]] = {}
    for name, of_model in scores.items():
        for suite in of_model.suites:
            found.setdefault(suite.title or suite.suite, {})[name] = suite
    return [_judge_line(title, of_suite) for title, of_suite in found.items()]


def _judge_line(title: str, suites: dict[str, SuiteScore]) -> str:
    first, *others = suites.values()
    if len({suite.judged_by for suite in suites.values()}) == 1:
        return f"{title}: judged by {first.judged_by}."
    told = "; ".join(f"{name} by {suite.judged_by}" for name, suite in suites.items())
    alike = all(same_judge(first, other) for other in others)
    return f"{title}: judged {told}." + (
        "" if alike else " These are different judges: do not compare the rates."
    )


def pattern_table(corpus: Store) -> dict[str, dict[str, tuple[int, int]]]:
    """k of n for each strategy and risky pattern."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for row in select(connect(corpus), sql_file("sft.comparison", "pattern_rates.sql")).to_pylist():
        if row["pattern"] in RISKY_PATTERNS and row["n"]:
            table.setdefault(row["strategy"], {})[row["pattern"]] = (row["k"], row["n"])
    return table


def agreement_rows(counts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Precision and recall of the rules against the author's labels, with intervals."""
    rows = []
    for row in counts:
        flagged, present = row["hits"] + row["false_alarms"], row["hits"] + row["misses"]
        rows.append(row | {"precision": _share(row["hits"], flagged), "recall": _share(row["hits"], present)})
    return rows


def _share(k: int, n: int) -> str:
    if n == 0:
        return "-"
    low, high = wilson(k, n)
    return f"{percent(k / n)} ({percent(low)} to {percent(high)}, {k}/{n})"


def _losses(run: Path) -> list[tuple[int, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [(entry["step"], entry["loss"]) for entry in map(json.loads, lines) if "loss" in entry]


def _generations(evaluation: Store, model: str) -> list[dict[str, Any]]:
    shown: dict[str, list[dict[str, Any]]] = {}
    for row in select(
        connect(evaluation), sql_file("sft.comparison", "generations.sql"), {"model": model}
    ).to_pylist():
        of_kind = shown.setdefault(row["kind"], [])
        if len(of_kind) < SAMPLES:
            of_kind.append(masked_reply(row))
    return [row for rows in shown.values() for row in rows]


def _accounting(corpus: Store, evaluation: Store, entries: Sequence[ReportEntry]) -> list[tuple[str, Counts]]:
    stages = [(f"{m.stage} ({_files(m)})" if m.inputs else m.stage, m.counts) for m in _manifests(corpus)]
    mixes = [(f"build-mix {e.name}", read_manifest(e.mix).counts) for e in entries]
    runs = [(f"sft run {e.name}", _manifest(e.run / "manifest.json").counts) for e in entries]
    scored = [(f"score {m.recipe['model']}", m.counts) for m in _manifests(evaluation) if m.stage == "score"]
    return stages + mixes + runs + scored


def _files(manifest: Manifest) -> str:
    return ", ".join(entry.name for entry in manifest.inputs)


def _manifests(corpus: Store) -> list[Manifest]:
    manifests = [_manifest(path) for path in sorted((corpus.root / "manifests").glob("*.json"))]
    return sorted(manifests, key=lambda manifest: manifest.stage != "ingest")


def _manifest(path: Path) -> Manifest:
    return read_model(path, Manifest)
