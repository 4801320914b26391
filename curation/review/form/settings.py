"""The settings of a round's dataset on the server: its fields, questions with tooltips, and what people filter by."""

from typing import Any

from curation.review.form import questions
from curation.review.form.questions import ReviewForm
from curation.review.records import ASSIGNED, METADATA, POSITION
from curation.review.vectors import DIMENSIONS
from schemas.codebooks import Pattern


def settings_of(argilla: Any, form: ReviewForm, min_submitted: int, adjudicating: bool) -> Any:
    """The settings of a dataset that asks a form.

    The verdict follows what is judged, so that a clean trace of the five patterns takes three keys; the answer stands before a reasoning
    of many screens.
    """
    fields = ("prompt", *([questions.OPINIONS] if adjudicating else []), "answer", "reasoning")
    return argilla.Settings(
        guidelines=questions.guidelines(form),
        fields=[
            argilla.TextField(
                name=name, title=name.capitalize(), use_markdown=False, required=name == "prompt"
            )
            for name in fields
        ],
        questions=[
            *_ticked(argilla, form),
            *(_value(argilla, entry) for entry in form.graded),
            argilla.LabelQuestion(
                name=questions.VERDICT, labels=questions.VERDICTS, title="Verdict", required=True
            ),
            *_marks(argilla, form),
            argilla.TextQuestion(name=questions.COMMENT, title="Comment", required=False),
        ],
        metadata=[
            *(
                argilla.TermsMetadataProperty(name=name, title=name.capitalize())
                for name in (*METADATA, ASSIGNED)
            ),
            argilla.IntegerMetadataProperty(name=POSITION, title="Position"),
        ],
        vectors=[argilla.VectorField(name=questions.VECTOR, dimensions=DIMENSIONS)],
        distribution=argilla.TaskDistribution(min_submitted=min_submitted),
        allow_extra_metadata=True,
    )


def _ticked(argilla: Any, form: ReviewForm) -> list[Any]:
    """One question for all entries that are yes or no; none if there are none."""
    if not form.ticked:
        return []
    entries = [form.by_name[name] for name in form.ticked]
    labels = {name: questions.title(name) for name in form.ticked} | {questions.NONE: "None of these"}
    question = argilla.MultiLabelQuestion(
        name=questions.PATTERNS, labels=labels, title="Patterns", required=True,
        description=questions.explained("Every pattern that the trace shows.", entries),
    )  # fmt: skip
    return [question]


def _value(argilla: Any, entry: Pattern) -> Any:
    """The question of an entry with levels or numbers. It may stay open: not to know is not the lowest value."""
    said: dict[str, Any] = {
        "name": questions.VALUE + entry.name,
        "title": questions.title(entry.name),
        "description": questions.explained_value(entry),
        "required": False,
    }
    if entry.levels:
        levels = {str(place): level for place, level in enumerate(entry.levels)}
        return argilla.LabelQuestion(labels=levels, **said)
    if rated := questions.rating(entry):
        return argilla.RatingQuestion(values=rated, **said)
    return argilla.TextQuestion(**said | {"title": f"{said['title']} ({entry.values})"})


def _marks(argilla: Any, form: ReviewForm) -> list[Any]:
    """A span question for each field, with the entries that are judged there; none for a field on which nothing is judged."""
    return [
        argilla.SpanQuestion(
            name=question, field=field, labels={name: questions.title(name) for name in form.of_field(field)},
            title=f"Marks in the {field}", allow_overlapping=True, required=False,
            description=questions.explained(
                f"Pick a pattern, then drag over the words of the {field} that show it.",
                [form.by_name[name] for name in form.of_field(field)],
            ),
        )
        for field, question in questions.SPANS.items()
        if form.of_field(field)
    ]  # fmt: skip
