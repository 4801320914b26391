"""One trace as its page shows it: texts in pieces with the evidence of each annotator, labels side by side, where it came from."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from curation.codebook.known import Known
from curation.corpus.query import Connection, known_entries, of_trace, select
from curation.corpus.store import Store
from curation.masking import mask_value, mask_words
from schemas.codebooks import Pattern

COLOURS = 6
"""Annotators after these share colours; the names stand in the hover text of a mark."""
PROVENANCE = (
    "trace_id", "prompt_id", "parent_id", "kind", "category", "attack", "strategy", "strategy_version", "model", "source", "source_file",
    "source_line", "source_id", "finish_reason", "prompt_tokens", "reasoning_tokens", "answer_tokens", "sample_index", "sampling",
)  # fmt: skip


class Evidence(NamedTuple):
    """Words that an annotator gives as its reason."""

    start: int
    end: int
    annotator: int
    """Its place among the trace's annotators."""
    name: str
    """Of the annotator, with its version."""
    pattern: str

    @property
    def title(self) -> str:
        """What the words are evidence of."""
        return f"{self.name}: {self.pattern}"


class MarkedPiece(NamedTuple):
    """A piece of a text, with the evidence that covers it."""

    text: str
    annotators: tuple[int, ...]
    title: str


class LabelCell(NamedTuple):
    """What one annotator says of one pattern."""

    label: bool | None
    score: float | None
    rationale: str | None
    level: str | None = None
    """Of an entry with levels or numbers, the one that it says."""


class LabelLine(NamedTuple):
    """What is said of one pattern."""

    pattern: str
    definition: str
    codebook: str | None
    """The codebook that was added to the corpus; null of a shipped pattern."""
    consensus: bool | None
    cells: list[LabelCell | None]
    """One for each of the trace's annotators; null where it did not look."""

    @property
    def disputed(self) -> bool:
        """Whether some see it and some do not."""
        return len({cell.label for cell in self.cells if cell and cell.label is not None}) == 2


class SeenTrace(NamedTuple):
    """Everything that a trace's page shows, unmasked."""

    row: dict[str, Any]
    prompt: dict[str, Any]
    annotators: list[str]
    labels: list[LabelLine]
    evidence: dict[str, list[Evidence]]
    """By field."""
    reviews: list[dict[str, Any]]
    findings: dict[str, list[dict[str, Any]]]
    """Rows about it in other tables, by what they tell."""

    @property
    def sets(self) -> dict[str, list[str]]:
        """Its members of the facets that change when something is said of it (`curation.view.facets`)."""
        said = {name: [line.cells[n] for line in self.labels] for n, name in enumerate(self.annotators)}
        submitted = [
            review for review in self.reviews if review["latest"] and review["status"] == "submitted"
        ]
        return {
            "pattern": [line.pattern for line in self.labels if line.consensus],
            "disputed": [line.pattern for line in self.labels if line.disputed],
            "annotator": [
                name.partition("@")[0]
                for name, cells in said.items()
                if any(cell and cell.label for cell in cells)
            ],
            "verdict": sorted({review["verdict"] for review in submitted if review["verdict"]}),
        }


def read(connection: Connection, corpus: Store, trace_id: str) -> SeenTrace | None:
    """All that a corpus has of a trace; null if it has no such trace."""
    one = {"id": trace_id}
    rows = _rows(connection, "select * from traces where trace_id = $id limit 1", one)
    if not rows:
        return None
    row, either = rows[0], {"id": trace_id, "prompt": rows[0]["prompt_id"]}
    prompts = _rows(
        connection, "select * from prompts where prompt_id = $id limit 1", {"id": row["prompt_id"]}
    )
    told = of_trace(connection, corpus, trace_id)
    current = _rows(
        told,
        "select * from current_annotations where trace_id = $id order by rank, annotator, pattern",
        one,
    )
    reasons = {
        (said["annotator"], said["pattern"]): said["rationale"]
        for said in _rows(
            told, "select annotator, pattern, rationale from annotations where trace_id = $id", one
        )
    }
    consensus = {
        said["pattern"]: said["label"]
        for said in _rows(told, "select pattern, label from verdicts where trace_id = $id", one)
    }
    told.close()
    annotators = list(dict.fromkeys(said["annotator"] for said in current))
    reviews = _rows(connection, "select * from reviews where trace_id = $id order by updated_at desc", one)
    findings = {
        "duplicates": "select field, method, cluster_id, representative from current_clusters where id in ($id, $prompt) limit 20",
        "contamination": "select field, benchmark, benchmark_row, method, score from contamination where id in ($id, $prompt) limit 20",
        "influences": "select behaviour, rank, share, influence, method, model from current_influences where trace_id in ($id, $prompt) limit 20",
        "amendments": "select subject, field, version, previous, value from amendments where id in ($id, $prompt) limit 20",
    }
    return SeenTrace(
        row,
        prompts[0] if prompts else {},
        annotators,
        _lines(current, reasons, consensus, annotators, known_entries(connection)),
        _evidence(current, annotators),
        _marked_latest(reviews),
        {name: _rows(connection, query, either) for name, query in findings.items()},
    )


def provenance(seen: SeenTrace, shown: bool) -> dict[str, Any]:
    """Where a trace came from, name by name, without what is null; free text masked unless shown."""
    prompt = {
        f"prompt_{name}": seen.prompt.get(name)
        for name in ("source", "source_file", "source_line", "source_id")
    }
    known = {name: seen.row.get(name) for name in PROVENANCE} | {
        name: seen.prompt.get(name) for name in ("category", "attack", "reference_answer")
    }
    told = {name: value for name, value in {**known, **prompt}.items() if value is not None}
    return told if shown else {name: mask_value(value) for name, value in told.items()}


def stretches(text: str, evidence: Sequence[Evidence], shown: bool) -> list[MarkedPiece]:
    """Cut a text wherever evidence begins or ends; masked unless shown, which keeps every offset."""
    text = text if shown else mask_words(text)
    clipped = [one._replace(start=max(0, one.start), end=min(one.end, len(text))) for one in evidence]
    edges = sorted(
        {0, len(text), *(edge for one in clipped if one.start < one.end for edge in (one.start, one.end))}
    )
    pieces = []
    for start, end in pairwise(edges):
        over = [one for one in clipped if one.start <= start and end <= one.end]
        title = "; ".join(dict.fromkeys(one.title for one in over))
        pieces.append(MarkedPiece(text[start:end], tuple(sorted({one.annotator for one in over})), title))
    return pieces


def _lines(
    current: Sequence[dict[str, Any]],
    reasons: Mapping[tuple[str, str], str | None],
    consensus: Mapping[str, bool | None],
    annotators: Sequence[str],
    known: Known,
) -> list[LabelLine]:
    said = {
        (one["pattern"], one["annotator"]): LabelCell(
            one["label"],
            one["score"],
            reasons.get((one["annotator"], one["pattern"])),
            _level(known.entries.get(one["pattern"]), one["score"]),
        )
        for one in current
    }
    books = {name: book.name for book in known.codebooks.values() for name in book.entries}
    judged = {pattern for pattern, _ in said}
    names = [name for name in known.entries if name in judged] + sorted(judged - known.entries.keys())
    lines = [
        LabelLine(
            name,
            known.entries[name].definition if name in known.entries else "",
            books.get(name),
            consensus.get(name),
            [said.get((name, one)) for one in annotators],
        )
        for name in names
    ]
    return sorted(
        lines, key=lambda line: (not line.consensus, not any(cell and cell.label for cell in line.cells))
    )


def _level(entry: Pattern | None, score: float | None) -> str | None:
    if entry is None or score is None or not entry.graded:
        return None
    value = entry.lowest + score * (entry.highest - entry.lowest)
    return entry.levels[round(value)] if entry.levels else f"{value:g}"


def _evidence(current: Sequence[dict[str, Any]], annotators: Sequence[str]) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = {"reasoning": [], "answer": []}
    for one in current:
        for span in (one["spans"] or ()) if one["label"] else ():
            name, pattern = one["annotator"], one["pattern"]
            evidence = Evidence(span["start"], span["end"], annotators.index(name), name, pattern)
            found.setdefault(span["field"], []).append(evidence)
    return found


def _marked_latest(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    people = set[str]()
    for review in reviews:
        review["latest"] = review["reviewer"] not in people
        people.add(review["reviewer"])
    return reviews


def _rows(connection: Connection, query: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    return list(select(connection, query, values).to_pylist())
