"""`curate why` and `curate diff`: where a row came from, and what makes two mixes differ.

Texts are masked unless the caller asks to see them: the prompts of a safety corpus ask for harmful things.
"""

from pathlib import Path
from typing import Any

from curation import console
from curation.mix import MixRecipe, decide
from curation.mix.folder import read_manifest, read_rows
from curation.query import Connection, connect, quoted, select
from curation.store import Corpus
from schemas.errors import DataError

TEXTS = ("prompt", "text", "system", "reasoning", "answer", "reference_answer", "row", "extra")


def why(identifier: str, corpus_dir: Path, mix: Path | None = None, show: bool = False) -> dict[str, Any]:
    """Everything known about a row_id, trace_id or source_id.

    Args:
        identifier: the id.
        corpus_dir: the corpus it came from.
        mix: a mix folder; needed for row ids, and to say what that mix did with the trace.
        show: give texts in full instead of their lengths.

    Raises:
        DataError: if neither the corpus nor the mix knows the id.
    """
    corpus = Corpus(corpus_dir)
    connection = connect(corpus)
    row = _row(mix, identifier) if mix else None
    wanted = row["trace_id"] if row else identifier
    traces = _where(connection, "candidates", f"trace_id = {quoted(wanted)} or source_id = {quoted(wanted)}")
    quarantined = _where(
        connection, "quarantine", f"source_id = {quoted(wanted)} or quarantine_id = {quoted(wanted)}"
    )
    if not traces and not quarantined:
        hint = "" if mix else "; for a row_id, name its mix with --mix"
        raise DataError(f"{identifier}: no trace, row or quarantined row of this id in {corpus_dir}{hint}")
    found: dict[str, Any] = {"id": identifier, "row": row, "traces": [], "quarantined": quarantined}
    for trace in traces:
        one = f"trace_id = {quoted(trace['trace_id'])}"
        entry = {
            "trace": {name: value for name, value in trace.items() if not isinstance(value, dict)},
            "annotations": _where(connection, "annotations", one),
            "verdicts": _where(connection, "verdicts", one),
        }
        found["traces"].append(entry)
    if mix:
        fates = _fates(connection, corpus, mix, [trace["trace_id"] for trace in traces])
        for entry in found["traces"]:
            entry["mix"] = fates.get(entry["trace"]["trace_id"], [{"part": None, "state": "no part matches"}])
    return found if show else _masked(found)


def diff(mix_a: Path, mix_b: Path) -> dict[str, Any]:
    """What makes mix B differ from mix A: rows, counts per part and pattern, recipe fields."""
    manifests = [read_manifest(mix) for mix in (mix_a, mix_b)]
    rows = [{row["trace_id"]: row for row in read_rows(mix).to_pylist()} for mix in (mix_a, mix_b)]
    a, b = rows
    moved = sorted(t for t in a.keys() & b.keys() if a[t]["part"] != b[t]["part"])
    rejudged = sorted(t for t in a.keys() & b.keys() if sorted(a[t]["risky"]) != sorted(b[t]["risky"]))
    summaries: list[dict[str, Any]] = [manifest.summary for manifest in manifests]
    return {
        "a": str(mix_a),
        "b": str(mix_b),
        "identical": summaries[0]["mix_id"] == summaries[1]["mix_id"],
        "counts": {
            "a": len(a), "b": len(b), "added": len(b.keys() - a.keys()), "removed": len(a.keys() - b.keys()),
            "moved": len(moved), "rejudged": len(rejudged),
        },
        "added": sorted(b.keys() - a.keys()),
        "removed": sorted(a.keys() - b.keys()),
        "moved": [{"trace_id": t, "from": a[t]["part"], "to": b[t]["part"]} for t in moved],
        "rejudged": [{"trace_id": t, "from": a[t]["risky"], "to": b[t]["risky"]} for t in rejudged],
        "parts": _changes(*({n: p["kept"] for n, p in s["parts"].items()} for s in summaries)),
        "patterns": _changes(*(s["patterns"] for s in summaries)),
        "recipe": _changes(*(_flat(manifest.recipe) for manifest in manifests)),
    }  # fmt: skip


def show_why(found: dict[str, Any]) -> None:
    """Print what `why` found for a person."""
    for entry in found["traces"]:
        console.show_rows(["trace", "value"], [
            {"trace": name, "value": value} for name, value in entry["trace"].items() if value is not None
        ])  # fmt: skip
        console.show_rows(
            ["pattern", "label", "score", "annotator", "spans", "rationale"], entry["annotations"]
        )
        for fate in entry.get("mix", []):
            console.result(
                f"in this mix: {fate['state']}" + (f' (part "{fate["part"]}")' if fate["part"] else "")
            )
    if found["quarantined"]:
        columns = ["source_file", "source_line", "reason", "detail", "row"]
        console.show_rows(columns, [{name: row[name] for name in columns} for row in found["quarantined"]])


def show_diff(found: dict[str, Any]) -> None:
    """Print what `diff` found for a person."""
    if found["identical"]:
        console.result("the two mixes hold the same rows in the same order")
    console.show_rows(list(found["counts"]), [found["counts"]])
    for name in ("parts", "patterns", "recipe"):
        if found[name]:
            console.show_rows(
                [name, "a", "b"], [{name: key, **change} for key, change in found[name].items()]
            )
    for name in ("added", "removed"):
        if found[name]:
            more = f" ... ({len(found[name])} in all; --json lists them)" if len(found[name]) > 5 else ""
            console.result(f"{name}: {' '.join(found[name][:5])}{more}")


def _row(mix: Path, identifier: str) -> dict[str, Any] | None:
    import pyarrow.compute as pc

    rows = read_rows(mix)
    found = rows.filter(pc.or_(pc.equal(rows["row_id"], identifier), pc.equal(rows["trace_id"], identifier)))
    return dict(found.to_pylist()[0]) if found.num_rows else None


def _where(connection: Connection, table: str, condition: str) -> list[dict[str, Any]]:
    return list(
        select(connection, f"select * from {table} where {condition} order by all limit 100").to_pylist()
    )


def _fates(
    connection: Connection, corpus: Corpus, mix: Path, trace_ids: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Decide the mix again from its own recipe; each trace's state in each part that looked at it."""
    decide(connection, MixRecipe.model_validate(read_manifest(mix).recipe), corpus)
    fates: dict[str, list[dict[str, Any]]] = {}
    for trace_id in trace_ids:
        query = f"select part, state from decisions where trace_id = {quoted(trace_id)}"
        fates[trace_id] = select(connection, query).to_pylist() or [
            {"part": None, "state": "no part matches"}
        ]
    return fates


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, name) for inner in value]
    if name in TEXTS and isinstance(value, str) and value:
        return f"[masked: {len(value)} characters; --show shows them]"
    return value


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
