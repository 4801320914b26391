"""`curate why`: the source of a row, its annotations, and the clause of a recipe that selected it.

Texts are masked unless requested otherwise: the prompts of a safety corpus are harmful.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, select
from curation.corpus.store import Store
from curation.masking import mask
from curation.mix.build import decide
from curation.mix.folder import read_manifest, read_rows
from curation.mix.planning import show_agreement
from curation.mix.recipe import MixRecipe, Part
from curation.report.found import found_patterns, show_found
from curation.review import gate
from schemas.errors import DataError, RecipeError
from schemas.manifest import Manifest

TEXTS = (
    "prompt", "text", "system", "reasoning", "answer", "reference_answer", "row", "extra", "comment", "content", "tool_calls", "tools",
)  # fmt: skip


def why(identifier: str, corpus_dir: Path, mix: Path | None = None, show: bool = False) -> dict[str, Any]:
    """All information about a row_id, trace_id or source_id.

    Args:
        identifier: the id.
        corpus_dir: its corpus.
        mix: a mix folder; needed for row ids, and to explain how that mix used the trace.
        show: do not mask texts.

    Raises:
        DataError: if the id is in neither the corpus nor the mix.
    """
    corpus = Store(corpus_dir)
    connection = connect(corpus)
    row = _row(mix, identifier) if mix else None
    wanted = row["trace_id"] if row else identifier
    traces = _where(connection, "candidates", "trace_id = $id or source_id = $id", {"id": wanted})
    quarantined = _where(connection, "quarantine", "source_id = $id or quarantine_id = $id", {"id": wanted})
    if not traces and not quarantined:
        hint = "" if mix else "; for a row_id, set --mix"
        raise DataError(f"{identifier}: no trace, row or quarantined row with this id in {corpus_dir}{hint}")
    document: dict[str, Any] = {"id": identifier, "row": row, "traces": [], "quarantined": quarantined}
    for trace in traces:
        one = ("trace_id = $trace", {"trace": trace["trace_id"]})
        either = ("id in ($trace, $prompt)", {"trace": trace["trace_id"], "prompt": trace["prompt_id"]})
        entry = {
            "found": found_patterns(connection, corpus, trace["trace_id"], show),
            "trace": {name: value for name, value in trace.items() if not isinstance(value, dict)},
            "annotations": _where(connection, "annotations", *one),
            "verdicts": _where(connection, "verdicts", *one),
            "prompt": _where(connection, "prompts", "prompt_id = $prompt", {"prompt": trace["prompt_id"]}),
            "amendments": sorted(
                _where(connection, "amendments", *either),
                key=lambda row: (row["subject"], row["field"], row["version"]),
            ),
            "reviews": _where(connection, "reviews", *one),
            "duplicates": _where(connection, "current_clusters", *either),
            "contamination": _where(connection, "contamination", *either),
            "influences": _where(connection, "current_influences", *one),
        }
        document["traces"].append(entry)
        if mix:
            _tell_fate(entry, mix, corpus, read_manifest(mix), connection)
    return document if show else _masked(document)


def show_why(document: dict[str, Any], everything: bool = False) -> None:
    """Print the result of `why`: what was found and what the mix did, and with `everything` all that is known."""
    for entry in document["traces"]:
        show_found(entry["trace"], entry["found"])
        for line in entry["influences"]:
            console.result(_told(line))
        for row in entry.get("rows", []):
            console.result(f'in this mix it is row {row["row_id"]}, selected by part "{row["part"]}"')
        for fate in entry.get("mix", []):
            console.result(
                f"with its recipe now: {fate['state']}"
                + (f' (part "{fate["part"]}")' if fate["part"] else "")
            )
        for name, clause in entry.get("clauses", {}).items():
            console.result(
                f"part {name}: " + "; ".join(f"{field}: {value}" for field, value in clause.items())
            )
        if entry.get("agreement"):
            show_agreement(entry["agreement"])
        if everything:
            _show_everything(entry)
        else:
            console.result("--all shows every annotation, review and version, and where it came from")
    if document["quarantined"]:
        columns = ["source_file", "source_line", "reason", "detail", "row"]
        console.show_rows(columns, [{name: row[name] for name in columns} for row in document["quarantined"]])


def _told(influence: Mapping[str, Any]) -> str:
    """What a row did for a behaviour of a model, in words."""
    count = round(influence["rank"] / influence["share"])
    return (
        f"row {influence['row_id']} is number {influence['rank']} of {count} for {influence['behaviour']!r} of {influence['model']} "
        f"(influence {influence['influence']:.3g}, by {influence['method']})"
    )


def _show_everything(entry: dict[str, Any]) -> None:
    told = entry["trace"] | {
        f"prompt_{name}": value
        for row in entry["prompt"]
        for name, value in row.items()
        if name.startswith("source")
    }
    console.show_rows(["trace", "value"], [
        {"trace": name, "value": value} for name, value in told.items() if value is not None
    ])  # fmt: skip
    _show(
        "amendments",
        ["subject", "field", "version", "previous", "value", "source_file", "source_line"],
        entry,
    )
    _show("annotations", ["pattern", "label", "score", "annotator", "spans", "rationale"], entry)
    _show("reviews", ["round", "reviewer", "status", "verdict", "patterns", "updated_at"], entry)
    _show("duplicates", ["field", "method", "cluster_id", "representative"], entry)


def _show(what: str, columns: list[str], entry: dict[str, Any]) -> None:
    if entry[what]:
        console.result(what)
        console.show_rows(columns, [{name: row.get(name) for name in columns} for row in entry[what]])


def _row(mix: Path, identifier: str) -> dict[str, Any] | None:
    import pyarrow.compute as pc

    rows = read_rows(mix)
    matches = rows.filter(
        pc.or_(pc.equal(rows["row_id"], identifier), pc.equal(rows["trace_id"], identifier))
    )
    return dict(matches.to_pylist()[0]) if matches.num_rows else None


def _where(
    connection: Connection, table: str, condition: str, values: Mapping[str, str]
) -> list[dict[str, Any]]:
    query = f"select * from {table} where {condition} order by all limit 100"
    return list(select(connection, query, values).to_pylist())


def _tell_fate(
    entry: dict[str, Any], mix: Path, corpus: Store, manifest: Manifest, connection: Connection
) -> None:
    """Add what the mix holds of a trace, what its recipe says of it today, and the clauses of the parts that looked at it."""
    trace_id = entry["trace"]["trace_id"]
    held = [
        row
        for row in read_rows(mix, ["row_id", "trace_id", "part"]).to_pylist()
        if row["trace_id"] == trace_id
    ]
    entry["rows"] = [{"row_id": row["row_id"], "part": row["part"]} for row in held]
    try:
        entry["mix"] = fates(corpus, manifest, [trace_id])[trace_id]
    except RecipeError as error:
        entry["mix"] = [{"part": None, "state": f"the recipe cannot be evaluated here: {error}"}]
    parts: Any = manifest.recipe["parts"]
    looked = dict.fromkeys(
        [row["part"] for row in held] + [fate["part"] for fate in entry["mix"] if fate["part"]]
    )
    entry["clauses"] = {name: _clause(parts[name]) for name in looked}
    if wish := MixRecipe.model_validate(manifest.recipe).agreement:
        entry["agreement"] = {name: met._asdict() for name, met in gate.measured(connection, wish).items()}


def fates(corpus: Store, manifest: Manifest, trace_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What a mix's recipe does now with some traces: their state in each part that considered them.

    Raises:
        RecipeError: if the recipe cannot be evaluated here, for example without its tokenizer.
    """
    recipe = MixRecipe.model_validate(manifest.recipe)
    connection = connect(corpus, policy=recipe.consensus)
    decide(connection, recipe, corpus)
    states: dict[str, list[dict[str, Any]]] = {
        trace_id: [{"part": None, "state": "no part matches"}] for trace_id in trace_ids
    }
    connection.register("asked", pa.table({"trace_id": pa.array(list(trace_ids), pa.string())}))
    rows = select(
        connection,
        sql_file("curation.report", "states_of.sql"),
    )
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        grouped.setdefault(row.pop("trace_id"), []).append(row)
    return states | grouped


def _clause(part: dict[str, Any]) -> dict[str, Any]:
    """The non-default fields of a part."""
    defaults = Part(where="").model_dump(mode="json")
    return {name: value for name, value in part.items() if name == "where" or value != defaults.get(name)}


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, name) for inner in value]
    if name in TEXTS and isinstance(value, str) and value:
        return mask(value, "; add --show to see them")
    return value
