"""Label Studio's JSON: the tasks of a round out, its export of finished annotations in.

Its page counts UTF-16 units, Python code points, and a file does not say which it holds. So a region is read in the units in which it cuts the
words that it quotes; one that quotes other words is an error.

Source: Label Studio's documentation, "Import pre-annotated data" and "Label Studio JSON format of annotated tasks".
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from curation.review.form import questions
from curation.review.form.questions import FIVE, ReviewForm

NAMES = (questions.PATTERNS, questions.VERDICT, questions.COMMENT)


def interface(form: ReviewForm = FIVE) -> str:
    """The labelling interface for a project's settings."""
    from jinja2 import StrictUndefined, Template

    text = (files("curation.review.formats") / "label_studio.xml").read_text(encoding="utf-8")
    marks = {field: form.of_field(field) for field in questions.SPANS}
    patterns = [*form.ticked, questions.NONE] if form.ticked else []
    rendered = Template(text, undefined=StrictUndefined, autoescape=True)
    return str(
        rendered.render(
            marks=marks,
            patterns=patterns,
            graded=form.graded,
            value=questions.VALUE,
            verdicts=questions.VERDICTS,
        )
    )


def task(line: Mapping[str, Any], form: ReviewForm = FIVE) -> dict[str, Any]:
    """An exported line as a task, with the suggestions as a prediction and the reviews as annotations."""
    texts = {str(field): line[field] for field in questions.SPANS}
    found = [one["pattern"] for one in line["suggested"] if one["label"] and one["pattern"] in form.ticked]
    scores = {one["pattern"]: one["score"] for one in line["suggested"] if one["label"] is not None}
    given = [
        {"pattern": entry.name, "value": entry.value_of(scores[entry.name])}
        for entry in form.graded
        if scores.get(entry.name) is not None
    ]
    result = [
        *(_choices(questions.PATTERNS, found) if found else ()),
        *_values(given, form),
        *_regions(line["suggested_spans"], texts),
    ]
    return {
        "data": {name: line[name] for name in ("trace_id", "prompt", *questions.SPANS)},
        "predictions": [{"model_version": "curate", "result": result}] if found or given else [],
        "annotations": [_annotation(review, texts, form) for review in line["reviews"]],
    }


def reviews(task: Any) -> list[dict[str, Any]]:
    """The reviews in a task, as lines of `curate review import`.

    Raises:
        ValueError: if it is no task of an exported round, or a region does not cut the words that it quotes.
    """
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or "trace_id" not in task["data"]:
        raise ValueError("not a task with data.trace_id")
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise ValueError("annotations is not a list of objects")
    return [_review(task["data"], annotation) for annotation in annotations]


def _annotation(review: Mapping[str, Any], texts: Mapping[str, str], form: ReviewForm) -> dict[str, Any]:
    result = [*_choices(questions.PATTERNS, review["patterns"]), *_values(review["values"], form)]
    result += _regions(review["spans"], texts)
    if review["verdict"]:
        result += _choices(questions.VERDICT, [review["verdict"]])
    if review["comment"]:
        value = {"text": [review["comment"]]}
        result.append(
            {"from_name": questions.COMMENT, "to_name": "reasoning", "type": "textarea", "value": value}
        )
    return {
        "completed_by": {"email": review["reviewer"]},
        "was_cancelled": review["status"] == "discarded",
        "updated_at": review["updated_at"],
        "result": result,
    }


def _choices(name: str, chosen: Sequence[str]) -> list[dict[str, Any]]:
    value = {"choices": list(chosen)}
    return [{"from_name": name, "to_name": "reasoning", "type": "choices", "value": value}]


def _values(given: Sequence[Mapping[str, Any]], form: ReviewForm) -> Iterator[dict[str, Any]]:
    """Levels as choices of their names, numbers as numbers."""
    for one in given:
        entry, name = form.by_name[one["pattern"]], questions.VALUE + one["pattern"]
        if entry.levels:
            yield from _choices(name, [entry.named(one["value"])])
        else:
            yield {
                "from_name": name,
                "to_name": "reasoning",
                "type": "number",
                "value": {"number": one["value"]},
            }


def _regions(spans: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for span in spans:
        field, text = span["field"], texts[span["field"]]
        yield {
            "from_name": questions.SPANS[field],
            "to_name": field,
            "type": "labels",
            "value": {
                "start": _units(text[: span["start"]]),
                "end": _units(text[: span["end"]]),
                "text": text[span["start"] : span["end"]],
                "labels": [span["pattern"]],
            },
        }


def _review(data: Mapping[str, Any], annotation: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, list[str]] = {name: [] for name in NAMES}
    spans, values = [], []
    for item in annotation.get("result") or []:
        name, value = item.get("from_name"), item.get("value") or {}
        if name in questions.SPANS.values():
            spans += _spans(data, item["to_name"], value)
        elif name in NAMES:
            given[name] += value.get("choices") or value.get("text") or []
        elif str(name).startswith(questions.VALUE):
            told = value.get("choices") or ([value["number"]] if "number" in value else [])
            values += [{"pattern": str(name).removeprefix(questions.VALUE), "value": one} for one in told]
    return {
        "trace_id": data["trace_id"],
        "reviewer": _who(annotation.get("completed_by")),
        "patterns": given[questions.PATTERNS],
        "values": values,
        "verdict": next(iter(given[questions.VERDICT]), None),
        "comment": "\n".join(given[questions.COMMENT]) or None,
        "spans": spans,
        "status": "discarded" if annotation.get("was_cancelled") else "submitted",
        "updated_at": annotation.get("updated_at"),
    }


def _who(user: Any) -> str:
    if isinstance(user, dict):
        return str(user.get("email") or user.get("username") or f"user-{user.get('id')}")
    return f"user-{user}"


def _spans(data: Mapping[str, Any], field: Any, value: Mapping[str, Any]) -> list[dict[str, Any]]:
    text, quoted = str(data.get(field, "")), value.get("text")
    start, end = int(value["start"]), int(value["end"])
    if quoted is not None and text[start:end] != quoted:
        start, end = _points(text, start), _points(text, end)
        if text[start:end] != quoted:
            raise ValueError(
                f"a region of the {field} at {value['start']} does not cut the words that it quotes"
            )
    return [{"pattern": label, "field": field, "start": start, "end": end} for label in value["labels"]]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _points(text: str, units: int) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "ignore"))
