"""`curate diff`: the differing rows of two mixes, each with its reason.

A manifest lists the files and annotators of a mix; the rows have the labels at that time. The corpus, if available, has the
current labels, and what each recipe would do with a trace now. The reason is the first of these that explains a row.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.mix.folder import read_manifest, read_splits
from curation.report.why import fates
from schemas.errors import RecipeError
from schemas.manifest import Manifest
from schemas.patterns import RISKY_PATTERNS

Cause = Literal["recipe", "verdict", "annotator version", "new data", "gone", "draw", "unknown"]


class Reason(NamedTuple):
    """Why one row differs."""

    trace_id: str
    cause: Cause
    detail: str


class _Side(NamedTuple):
    """One of the two mixes."""

    name: str
    manifest: Manifest
    rows: dict[str, dict[str, Any]]
    """By trace, of every split; of a trace that is repeated, one."""
    total: int
    """Rows of every split, repeats included: what the parts add up to."""
    patterns: dict[str, int]
    """Rows of every split that show each risky pattern."""
    today: dict[str, list[dict[str, Any]]]
    """What its recipe does now with each differing trace; empty without a corpus."""

    @property
    def files(self) -> set[str]:
        return {entry.name for entry in self.manifest.inputs}

    @property
    def annotators(self) -> set[str]:
        seen: Any = self.manifest.summary.get("annotators", {})
        return set(seen)


class _TraceState(NamedTuple):
    """The current state of a trace in the corpus."""

    source_file: str | None
    risky: frozenset[str]
    annotators: frozenset[str]


def diff(mix_a: Path, mix_b: Path, corpus_dir: Path | None = None) -> dict[str, Any]:
    """Compare mix B with mix A: rows with reasons, counts per part and pattern, recipe fields.

    Args:
        mix_a: a mix folder.
        mix_b: another one.
        corpus_dir: the corpus they were built from; without it the reasons come from the mixes alone.

    Raises:
        DataError: if a folder is not a mix.
    """
    a, b = (_side(mix) for mix in (mix_a, mix_b))
    added, removed = sorted(b.rows.keys() - a.rows.keys()), sorted(a.rows.keys() - b.rows.keys())
    both = sorted(a.rows.keys() & b.rows.keys())
    moved = [t for t in both if a.rows[t]["part"] != b.rows[t]["part"]]
    rejudged = [t for t in both if sorted(a.rows[t]["risky"]) != sorted(b.rows[t]["risky"])]
    clauses = _changes(_flat(a.manifest.recipe), _flat(b.manifest.recipe))
    traces: dict[str, _TraceState] | None = None
    if corpus_dir and (differ := sorted({*added, *removed, *moved, *rejudged})):
        corpus = Store(corpus_dir)
        traces = _traces(corpus, differ)
        a, b = (side._replace(today=_today(corpus, side.manifest, differ)) for side in (a, b))
    reasons = {
        "added": [_came_or_went(t, here=b, there=a, clauses=clauses, traces=traces) for t in added],
        "removed": [_came_or_went(t, here=a, there=b, clauses=clauses, traces=traces) for t in removed],
        "moved": [Reason(t, "recipe", _said(clauses)) for t in moved],
        "rejudged": [_judged_anew(t, a, b, traces) for t in rejudged],
    }
    summaries: list[dict[str, Any]] = [a.manifest.summary, b.manifest.summary]
    return {
        "a": a.name,
        "b": b.name,
        "identical": summaries[0]["mix_id"] == summaries[1]["mix_id"],
        "counts": {
            "a": a.total, "b": b.total, "added": len(added), "removed": len(removed),
            "moved": len(moved), "rejudged": len(rejudged),
        },
        "added": added,
        "removed": removed,
        "moved": [{"trace_id": t, "from": a.rows[t]["part"], "to": b.rows[t]["part"]} for t in moved],
        "rejudged": [{"trace_id": t, "from": a.rows[t]["risky"], "to": b.rows[t]["risky"]} for t in rejudged],
        "reasons": {name: [reason._asdict() for reason in listed] for name, listed in reasons.items()},
        "causes": {name: dict(Counter(reason.cause for reason in listed)) for name, listed in reasons.items()},
        "parts": _changes(*({n: p["kept"] for n, p in s["parts"].items()} for s in summaries)),
        "patterns": _changes(a.patterns, b.patterns),
        "recipe": clauses,
        "annotators": _changes(*(s.get("annotators", {}) for s in summaries)),
    }  # fmt: skip


def show(document: dict[str, Any]) -> None:
    """Print the result of `diff`."""
    if document["identical"]:
        console.result("the two mixes have the same rows in the same order")
    console.show_rows(list(document["counts"]), [document["counts"]])
    for name in ("parts", "patterns", "recipe", "annotators"):
        if document[name]:
            console.show_rows(
                [name, "a", "b"], [{name: key, **change} for key, change in document[name].items()]
            )
    for name, causes in document["causes"].items():
        for cause, n in causes.items():
            first = next(reason for reason in document["reasons"][name] if reason["cause"] == cause)
            console.result(f"{name}: {n} by {cause}, such as {first['trace_id']}: {first['detail']}")


def _came_or_went(
    trace_id: str, here: _Side, there: _Side, clauses: dict[str, Any], traces: dict[str, _TraceState] | None
) -> Reason:
    """Why a trace is in the mix `here` and not in the mix `there`."""
    if traces is None:
        told = (
            _said(clauses)
            if clauses
            else "the recipes are equal, so the corpus changed; add --corpus for details"
        )
        return Reason(trace_id, "recipe" if clauses else "unknown", told)
    now = traces.get(trace_id)
    if now is None:
        return Reason(trace_id, "gone", "this corpus has no such trace")
    if now.source_file and there.files and now.source_file in here.files - there.files:
        return Reason(trace_id, "new data", f"{now.source_file} was ingested between the two builds")
    then = frozenset(here.rows[trace_id]["risky"])
    if then != now.risky:
        return Reason(trace_id, *_verdict(then, now, here))
    fate = "; ".join(
        f"{each['state']}" + (f" (part {each['part']})" if each["part"] else "")
        for each in there.today[trace_id]
    )
    would_take = any(each["state"] == "kept" for each in there.today[trace_id])
    strangers = now.annotators - there.annotators
    if would_take and strangers and there.annotators:
        return Reason(
            trace_id, "annotator version", f"judged by {_list(strangers)}, which {there.name} did not have"
        )
    if clauses and not would_take:
        return Reason(trace_id, "recipe", f"under the recipe of {there.name}: {fate}; {_said(clauses)}")
    if would_take:
        return Reason(
            trace_id, "draw", f"{there.name} would include it now: the corpus changed after the build"
        )
    return Reason(
        trace_id,
        "draw",
        f"under the same recipe: {fate}; other traces changed its position in the sampling order",
    )


def _judged_anew(trace_id: str, a: _Side, b: _Side, traces: dict[str, _TraceState] | None) -> Reason:
    then, later = (frozenset(side.rows[trace_id]["risky"]) for side in (a, b))
    seen = traces[trace_id].annotators if traces and trace_id in traces else frozenset()
    return Reason(
        trace_id,
        *_verdict(then, _TraceState(None, later, frozenset((seen or b.annotators) & b.annotators)), a),
    )


def _verdict(then: frozenset[str], now: _TraceState, side: _Side) -> tuple[Cause, str]:
    changed = ", ".join(
        f"{name} {name in then} -> {name in now.risky}".lower()
        for name in RISKY_PATTERNS
        if (name in then) != (name in now.risky)
    )
    strangers = now.annotators - side.annotators
    older = {name for name in strangers if any(_family(name) == _family(known) for known in side.annotators)}
    if older:
        return "annotator version", f"{changed} by {_list(older)}, newer than {side.name}"
    return "verdict", changed + (f" by {_list(strangers)}" if strangers else "")


def _family(annotator: str) -> str:
    return annotator.partition("@")[0]


def _traces(corpus: Store, trace_ids: Sequence[str]) -> dict[str, _TraceState]:
    connection = connect(corpus)
    connection.register("asked", pa.table({"trace_id": pa.array(list(trace_ids), pa.string())}))
    risky = ", ".join(f"case when {name} then '{name}' end" for name in RISKY_PATTERNS)
    rows = select(
        connection,
        sql_file("curation.report", "risky_patterns.sql", risky=risky),
    ).to_pylist()
    judged = select(
        connection,
        sql_file("curation.report", "annotators_of.sql"),
    ).to_pylist()
    names = {row["trace_id"]: frozenset(row["names"]) for row in judged}
    return {
        row["trace_id"]: _TraceState(
            row["source_file"], frozenset(filter(None, row["risky"])), names.get(row["trace_id"], frozenset())
        )
        for row in rows
    }


def _today(corpus: Store, manifest: Manifest, trace_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    try:
        return fates(corpus, manifest, trace_ids)
    except RecipeError as error:
        return {
            trace_id: [{"part": None, "state": f"the recipe cannot be evaluated here: {error}"}]
            for trace_id in trace_ids
        }


def _side(mix: Path) -> _Side:
    manifest = read_manifest(mix)
    columns = ["trace_id", "part", "risky"]
    rows = [row for split in read_splits(mix).values() for row in split.select(columns).to_pylist()]
    shown = Counter(pattern for row in rows for pattern in row["risky"])
    patterns = {name: shown[name] for name in RISKY_PATTERNS}
    return _Side(str(mix), manifest, {row["trace_id"]: row for row in rows}, len(rows), patterns, {})


def _said(clauses: dict[str, dict[str, Any]]) -> str:
    return "; ".join(
        f"{name}: {change['a']} -> {change['b']}" for name, change in clauses.items() if name != "name"
    )


def _list(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names))


def _changes(a: dict[str, Any], b: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        key: {"a": a.get(key), "b": b.get(key)}
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    }


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
    return flat
