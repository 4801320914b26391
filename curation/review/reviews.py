"""A person's review of a trace, and the annotations derived from it. Nothing here touches disk or network.

Ticked patterns become true labels, the other four false, and marks are evidence of the ticked ones only. A review that is edited makes a new version of its author's annotations (`human:alice@2`); one that is taken back
(discarded or put back to draft) makes a version that abstains.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from curation.review import questions
from curation.review.spans import from_page
from schemas.annotation import Annotation, Span
from schemas.patterns import CODEBOOK, RISKY_PATTERNS

SUBMITTED = "submitted"
STATUSES = (SUBMITTED, "draft", "discarded")
FAMILY, DECIDING = "human", "adjudicator"
"""The families of people's annotations: reviewers, and those who decide disputes (whose role has that name)."""
TAKEN_BACK = "review taken back"
JUDGED_ON = {entry.name: entry.judged_on for entry in CODEBOOK}
EXCLUDES = {entry.name: entry.excludes for entry in CODEBOOK}
SHOWN_BY_ABSENCE = ("lack_of_safety_awareness",)
"""Patterns that no words show: the words are missing."""


class Mark(NamedTuple):
    """Words that a reviewer marked, in code points of the trace's field."""

    pattern: str
    field: Literal["reasoning", "answer"]
    start: int
    end: int


class Review(NamedTuple):
    """One version of one person's review of one trace: a row of the `reviews` table."""

    round: str
    trace_id: str
    reviewer: str
    updated_at: str
    status: str
    verdict: str | None
    patterns: tuple[str, ...]
    spans: tuple[Mark, ...]
    comment: str | None
    role: str | None = None
    """"adjudicator" where it decides a dispute."""

    @property
    def content(self) -> tuple[Any, ...]:
        """What the person said, apart from when."""
        return (self.status, self.verdict, self.patterns, self.spans, self.comment)

    @property
    def evidence(self) -> tuple[Mark, ...]:
        """The marks that count: of ticked patterns, in a field that the codebook judges the pattern on."""
        return tuple(
            m for m in self.spans if m.pattern in self.patterns and JUDGED_ON[m.pattern] in (m.field, "both")
        )

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the review says and takes back, in words: none if it is sound."""
        return tuple(_contradictions(self))


def after(review: Review, known: Review | None) -> Review:
    """A review that follows a known one, dated after it: a clock may have been set back in between."""
    if known is None or review.updated_at > known.updated_at:
        return review
    moment = datetime.fromisoformat(known.updated_at) + timedelta(microseconds=1)
    return review._replace(updated_at=moment.isoformat())


def from_response(
    response: Mapping[str, Any], texts: Mapping[str, str], round: str, trace_id: str, reviewer: str
) -> Review:
    """The review in a server's response.

    Args:
        response: as the server tells it; offsets are the page's.
        texts: the trace's reasoning and answer.
        round, trace_id, reviewer: whose review of what it is.

    Raises:
        ValueError: if it is none; says why.
    """
    values = response.get("values") or {}  # a response may be discarded without ever having had values

    def value(question: str) -> Any:
        return (values.get(question) or {}).get("value")

    marks = []
    for field, question in questions.SPANS.items():
        for span in value(question) or ():
            start, end = (from_page(texts[field], int(span[edge])) for edge in ("start", "end"))
            if start < end:  # a mark on nothing but the padding behind the text has no words
                marks.append(Mark(str(span["label"]), field, start, end))
    return checked(
        Review(
            round, trace_id, reviewer, str(response["updated_at"]), str(response["status"]), value(questions.VERDICT),
            tuple(value(questions.PATTERNS) or ()), tuple(marks), value(questions.COMMENT) or None,
        )
    )  # fmt: skip


def checked(review: Review) -> Review:
    """The review in canonical order.

    Raises:
        ValueError: if it has an unknown status, verdict or pattern, or is submitted without a verdict.
    """
    known = (*RISKY_PATTERNS, questions.NONE)
    if unknown := sorted(
        ({*review.patterns} - {*known}) | ({mark.pattern for mark in review.spans} - {*RISKY_PATTERNS})
    ):
        raise ValueError(f"unknown pattern {', '.join(unknown)}")
    if review.status not in STATUSES:
        raise ValueError(f"unknown status {review.status!r}")
    if review.verdict is not None and review.verdict not in questions.VERDICTS:
        raise ValueError(f"unknown verdict {review.verdict!r}")
    if review.status == SUBMITTED and not review.patterns:
        raise ValueError('submitted without a pattern or "none"')
    ordered = tuple(name for name in known if name in review.patterns)
    return review._replace(patterns=ordered, spans=tuple(sorted(set(review.spans))))


def annotations(review: Review, annotator: str) -> list[Annotation]:
    """What a review says of each of the five patterns; all abstain if it is not submitted."""
    made = []
    for pattern in RISKY_PATTERNS:
        label = pattern in review.patterns if review.status == SUBMITTED else None
        marks = [mark for mark in review.evidence if label and mark.pattern == pattern]
        spans = [Span(field=mark.field, start=mark.start, end=mark.end) for mark in marks]
        rationale = review.comment if label is not None else TAKEN_BACK
        made.append(
            Annotation(
                trace_id=review.trace_id, pattern=pattern, annotator=annotator, label=label, spans=tuple(spans),
                rationale=rationale,
            )
        )  # fmt: skip
    return made


def due(reviews: Iterable[Review], said: Iterable[Annotation]) -> list[Annotation]:
    """The annotations that are missing so that the latest version of each person says what their reviews say.

    Args:
        reviews: all versions of all reviews.
        said: all annotations by people.
    """
    versions: dict[tuple[str, str], dict[int, dict[str, Annotation]]] = defaultdict(lambda: defaultdict(dict))
    for annotation in said:
        name, _, number = annotation.annotator.partition("@")
        versions[annotation.trace_id, name][int(number) if number.isdigit() else 1][annotation.pattern] = (
            annotation
        )
    missing = []
    for review in standing(reviews):
        name = f"{review.role or FAMILY}:{review.reviewer}"
        earlier = versions.get((review.trace_id, name), {})
        latest = max(earlier, default=0)
        wanted = annotations(review, name if latest == 0 else f"{name}@{latest + 1}")
        if latest == 0 and review.status != SUBMITTED:
            continue
        if latest == 0 or any(_differ(new, earlier[latest].get(new.pattern)) for new in wanted):
            missing += wanted
    return missing


def standing(reviews: Iterable[Review]) -> list[Review]:
    """The review of each person and trace that counts: the latest submitted one, over all rounds; decisions apart.

    Of each round only the latest version is looked at. Someone whose reviews are all drafts or discarded has the latest
    of these as their standing review: it says that an earlier one was taken back.
    """
    rounds: dict[tuple[str, str, str, str], Review] = {}
    for review in sorted(reviews, key=lambda review: review.updated_at):
        rounds[review.trace_id, review.reviewer, review.role or "", review.round] = review
    people: dict[tuple[str, str, str], Review] = {}
    for review in sorted(rounds.values(), key=lambda review: (review.status == SUBMITTED, review.updated_at)):
        people[review.trace_id, review.reviewer, review.role or ""] = review
    return [people[key] for key in sorted(people)]


def reviewer_name(username: str) -> str:
    """A user's name in the letters an annotator may have; "@" is the mark of a version there."""
    return re.sub(r"[^\w.+/-]", "_", username.replace("@", "_at_")).strip("_") or "someone"


def _contradictions(review: Review) -> Iterator[str]:
    ticked = [pattern for pattern in review.patterns if pattern != questions.NONE]
    if ticked and questions.NONE in review.patterns:
        yield f'"none of these" beside {", ".join(map(questions.title, ticked))}'
    for pattern in ticked:
        for other in sorted(set(EXCLUDES[pattern]) & set(ticked)):
            if pattern < other or pattern not in EXCLUDES[other]:
                yield f"{questions.title(pattern)} and {questions.title(other)}, which exclude each other"
    for pattern in sorted({mark.pattern for mark in review.spans} - set(ticked)):
        yield f"{questions.title(pattern)} is marked and not ticked"
    for mark in sorted(
        {mark for mark in review.spans if JUDGED_ON[mark.pattern] not in (mark.field, "both")}
    ):
        yield f"{questions.title(mark.pattern)} is marked in the {mark.field}, where it is not judged"
    marked = {mark.pattern for mark in review.evidence} | set(SHOWN_BY_ABSENCE)
    for pattern in ticked:
        if pattern not in marked:
            yield f"{questions.title(pattern)} is ticked and not marked"


def _differ(new: Annotation, old: Annotation | None) -> bool:
    if old is None:
        return True
    return (new.label, set(new.spans), new.rationale) != (old.label, set(old.spans), old.rationale)
