"""HarmThoughts: a row is a sentence of a reasoning with the behaviour that it shows; the rows of a trace become one trace.

The surprise: the file is grouped in memory, each response held once, since its rows need not stand together. A sentence is looked for
behind the one before it, so one that occurs twice gets its own place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from annotators.mapping import Terms
from curation.ingest.containers.rows import RawRow
from curation.ingest.records.judging import JudgedFormat, JudgedGroup, JudgedReading, TermVerdict
from schemas.annotation import Span
from schemas.response import Fault, split

TEXTS = ("query", "sentence", "sentence_id", "model_response")
NUMBERED = re.compile(r"(.+)-(\d{1,6})", re.DOTALL)
"""`sentence_id`: the trace and the number of the sentence in it."""
OF_TRACE = ("query", "model_response", "model_name", "class", "final_judgment")
NAMED = 20
"""Numbers of sentences that a rationale names."""


class PlacedSentence(NamedTuple):
    """A row with the number of its sentence."""

    number: int
    raw: RawRow


def group_sentences(rows: Iterable[RawRow]) -> Iterator[JudgedGroup]:
    """The traces of a file, each with its sentences in order; rows that are none come first, each by itself."""
    traces: dict[tuple[str, ...], tuple[dict[str, Any], list[PlacedSentence]]] = {}
    for raw in rows:
        if fault := raw.fault or _fault(raw.row):
            yield JudgedGroup(None, (raw,), {raw.line: fault})
            continue
        row = raw.row
        trace, number = NUMBERED.fullmatch(row["sentence_id"]).groups()  # type: ignore[union-attr]
        key = (trace, str(row.get("model_name")), row["query"], row["model_response"])
        if key not in traces:
            traces[key] = ({"id": trace} | {name: row[name] for name in OF_TRACE if name in row}, [])
        shared = traces[key][0]  # held once: a trace's texts stand in each of its rows
        own = {name: shared[name] if shared.get(name) == value else value for name, value in row.items()}
        traces[key][1].append(PlacedSentence(int(number), raw._replace(row=own, text=None)))
    while traces:
        row, sentences = traces.pop(next(iter(traces)))
        sentences.sort(key=lambda one: (one.number, one.raw.line))
        yield JudgedGroup(_with_reasoning(row, sentences), tuple(one.raw for one in sentences))


def read_sentences(group: JudgedGroup, texts: Mapping[str, str], terms: Terms) -> JudgedReading:
    """The behaviours of a trace, with the sentences that show them."""
    shown: dict[str, list[tuple[int, Span]]] = {}
    faults: dict[int, Fault] = {}
    after = 0
    for raw in group.rows:
        label, number = raw.row.get("llm_annotation"), _number(raw)
        place = locate_sentence(raw.row["sentence"], texts["reasoning"], after)
        if place is None:
            faults[raw.line] = Fault("sentence_not_found", "the sentence does not occur in the reasoning")
            continue
        after = place.end
        if not isinstance(label, str) or label.strip().casefold() not in terms.means:
            known = ", ".join(sorted(terms.means)).upper()
            faults[raw.line] = Fault(
                "unknown_label", f"llm_annotation is none of {known}, as codebooks map them"
            )
            continue
        for entry in terms.of([label]):
            shown.setdefault(entry, []).append((number, place))
    verdicts = {entry: _verdict(places) for entry, places in shown.items()}
    if not faults and _whole(group.rows):
        verdicts |= {entry: TermVerdict(False) for entry in terms.entries if entry not in shown}
    return JudgedReading(verdicts, faults)


def locate_sentence(sentence: str, text: str, after: int = 0) -> Span | None:
    """Where a sentence stands in a reasoning, word for word: white space may differ, nothing else.

    Args:
        sentence: the sentence.
        text: the reasoning.
        after: where the sentence before it ends; only if it is not behind that, the whole text is searched.
    """
    words = re.compile(r"\s+".join(re.escape(word) for word in sentence.split()))
    found = words.search(text, after) or words.search(text)
    return Span(field="reasoning", start=found.start(), end=found.end()) if found else None


def _verdict(places: list[tuple[int, Span]]) -> TermVerdict:
    numbers = [str(number) for number, _ in places]
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    spans = sorted({span for _, span in places}, key=lambda span: span.start)
    return TermVerdict(True, None, tuple(spans), f"sentences {', '.join(numbers[:NAMED])}{more}")


def _fault(row: Any) -> Fault | None:
    if type(row) is not dict:
        return Fault("wrong_type", f"a row must be an object of columns, not {type(row).__name__}")
    for name in TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            return Fault("wrong_type", f"{name} must be text")
    if not NUMBERED.fullmatch(row["sentence_id"]):
        return Fault("wrong_type", "sentence_id must end in a hyphen and the sentence's number, such as 12-3")
    return None


def _number(raw: RawRow) -> int:
    return int(raw.row["sentence_id"].rpartition("-")[2])


def _whole(rows: tuple[RawRow, ...]) -> bool:
    """Whether the sentences are numbered through, from 0 or 1."""
    numbers = sorted({_number(raw) for raw in rows})
    return numbers[0] <= 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _with_reasoning(row: dict[str, Any], sentences: list[PlacedSentence]) -> dict[str, Any]:
    """The trace's columns. A response that is the answer alone has none of the sentences: they are the reasoning, a line each."""
    rows = tuple(one.raw for one in sentences)
    found = split(row["model_response"])
    if not isinstance(found, Fault) or found.reason != "no_think" or not _whole(rows):
        return row
    texts = [one.row["sentence"].strip() for one in rows]
    if any(locate_sentence(text, row["model_response"]) for text in texts):
        return row
    return {name: value for name, value in row.items() if name != "model_response"} | {
        "reasoning": "\n".join(texts),
        "answer": row["model_response"],
        "reasoning_joined": "of the sentences; model_response has none",
    }


HARMTHOUGHTS = JudgedFormat(
    "harmthoughts", "judge:harmthoughts", "behaviours", read=read_sentences, group=group_sentences
)
