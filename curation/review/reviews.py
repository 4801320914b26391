"""A person's review of a trace, and the annotations derived from it. Nothing here touches disk or network.

Ticked patterns become true labels, the others that were asked for false, and marks are evidence of the ticked ones only; an entry with levels
or numbers has the value that was given, and abstains without one. A review that is edited makes a new version of its author's annotations (`human:alice@2`); one that is taken back
(discarded or put back to draft) makes a version that abstains.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from curation.review.form import questions
from curation.review.form.questions import FIVE, ReviewForm
from curation.review.spans import from_page
from schemas.annotation import Annotation, Span
from schemas.codebooks import Pattern

SUBMITTED = "submitted"
STATUSES = (SUBMITTED, "draft", "discarded")
FAMILY, DECIDING = "human", "adjudicator"
"""The families of people's annotations: reviewers, and those who decide disputes (whose role has that name)."""
TAKEN_BACK, LEFT_OPEN = "review taken back", "left open"


class Mark(NamedTuple):
    """Words that a reviewer marked, in code points of the trace's field."""

    pattern: str
    field: Literal["reasoning", "answer"]
    start: int
    end: int


class GivenValue(NamedTuple):
    """What a reviewer says of an entry with levels or numbers."""

    pattern: str
    value: float
    """The level, counted from 0, or the number."""


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
    values: tuple[GivenValue, ...] = ()
    """Of entries with levels or numbers; those left open are not there."""
    form: ReviewForm = FIVE
    """What was asked for."""

    @property
    def content(self) -> tuple[Any, ...]:
        """What the person said, apart from when."""
        return (self.status, self.verdict, self.patterns, self.spans, self.comment, self.values)

    @property
    def said(self) -> dict[str, bool]:
        """Whether each entry is present; without those that were left open."""
        given = dict(self.values)
        labels = {name: name in self.patterns for name in self.form.ticked}
        return labels | {
            entry.name: entry.measured(given[entry.name]).label
            for entry in self.form.graded
            if entry.name in given
        }

    @property
    def present(self) -> tuple[str, ...]:
        """The entries that are present; ("none",) without any."""
        said = self.said
        return tuple(name for name in self.form.names if said.get(name)) or (questions.NONE,)

    @property
    def shown(self) -> set[str]:
        """The entries that a mark may be of: what is ticked, and what is above its lowest value."""
        given, entries = dict(self.values), self.form.by_name
        return {*self.patterns, *(name for name in given if given[name] > entries[name].lowest)}

    @property
    def evidence(self) -> tuple[Mark, ...]:
        """The marks that count: of patterns that are there, in a field that the codebook judges the pattern on."""
        entries, shown = self.form.by_name, self.shown
        return tuple(m for m in self.spans if m.pattern in shown and _judged(entries[m.pattern], m.field))

    @property
    def row(self) -> dict[str, Any]:
        """Plain data, as the table `reviews` and exported files have it."""
        return {
            **{name: value for name, value in self._asdict().items() if name != "form"},
            "spans": [mark._asdict() for mark in self.spans],
            "values": [one._asdict() for one in self.values],
            "codebook": self.form.versioned,
        }

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
    response: Mapping[str, Any],
    texts: Mapping[str, str],
    round: str,
    trace_id: str,
    reviewer: str,
    form: ReviewForm = FIVE,
) -> Review:
    """The review in a server's response.

    Args:
        response: as the server tells it; offsets are the page's.
        texts: the trace's reasoning and answer.
        round, trace_id, reviewer: whose review of what it is.
        form: what was asked for.

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
    given = {entry.name: value(questions.VALUE + entry.name) for entry in form.graded}
    return checked(
        Review(
            round, trace_id, reviewer, str(response["updated_at"]), str(response["status"]), value(questions.VERDICT),
            tuple(value(questions.PATTERNS) or ()), tuple(marks), value(questions.COMMENT) or None,
            values=tuple(GivenValue(name, _number(name, one)) for name, one in given.items() if one not in (None, "")), form=form,
        )
    )  # fmt: skip


def checked(review: Review) -> Review:
    """The review in canonical order.

    Raises:
        ValueError: if it has an unknown status, verdict, pattern or value, or is submitted without saying what is there.
    """
    form = review.form
    known = (*form.ticked, questions.NONE)
    graded = {entry.name: entry for entry in form.graded}
    if unknown := sorted(
        ({*review.patterns} - {*known})
        | ({mark.pattern for mark in review.spans} - {*form.names})
        | ({one.pattern for one in review.values} - {*graded})
    ):
        raise ValueError(f"unknown pattern {', '.join(unknown)}")
    if review.status not in STATUSES:
        raise ValueError(f"unknown status {review.status!r}")
    if review.verdict is not None and review.verdict not in questions.VERDICTS:
        raise ValueError(f"unknown verdict {review.verdict!r}")
    if review.status == SUBMITTED and form.ticked and not review.patterns:
        raise ValueError('submitted without a pattern or "none"')
    given = {one.pattern: graded[one.pattern].number(one.value) for one in review.values}
    return review._replace(
        patterns=tuple(name for name in known if name in review.patterns),
        spans=tuple(sorted(set(review.spans))),
        values=tuple(GivenValue(name, given[name]) for name in graded if name in given),
    )


def annotations(review: Review, annotator: str) -> list[Annotation]:
    """What a review says of each entry that was asked for; all abstain if it is not submitted."""
    given = dict(review.values) if review.status == SUBMITTED else {}
    said = review.said if review.status == SUBMITTED else {}
    made = []
    for entry in review.form.entries:
        label = said.get(entry.name)
        score = entry.measured(given[entry.name]).score if entry.name in given else None
        marks = [mark for mark in review.evidence if label and mark.pattern == entry.name]
        spans = [Span(field=mark.field, start=mark.start, end=mark.end) for mark in marks]
        silent = LEFT_OPEN if review.status == SUBMITTED else TAKEN_BACK
        made.append(
            Annotation(
                trace_id=review.trace_id, pattern=entry.name, annotator=annotator, label=label, score=score,
                spans=tuple(spans), rationale=silent if label is None else review.comment,
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
        earlier = _of_form(versions.get((review.trace_id, name), {}), review.form)
        latest = max(earlier, default=0)
        wanted = annotations(review, name if latest == 0 else f"{name}@{latest + 1}")
        if latest == 0 and review.status != SUBMITTED:
            continue
        if latest == 0 or any(_differ(new, earlier[latest].get(new.pattern)) for new in wanted):
            missing += wanted
    return missing


def standing(reviews: Iterable[Review]) -> list[Review]:
    """The review of each person, trace and codebook that counts: the latest submitted one, over all rounds; decisions apart.

    Of each round only the latest version is looked at. Someone whose reviews are all drafts or discarded has the latest
    of these as their standing review: it says that an earlier one was taken back.
    """
    rounds: dict[tuple[str, str, str, str], Review] = {}
    for review in sorted(reviews, key=lambda review: review.updated_at):
        rounds[review.trace_id, review.reviewer, review.role or "", review.round] = review
    people: dict[tuple[str, str, str, str], Review] = {}
    for review in sorted(rounds.values(), key=lambda review: (review.status == SUBMITTED, review.updated_at)):
        people[review.trace_id, review.reviewer, review.role or "", review.form.codebook or ""] = review
    return [people[key] for key in sorted(people)]


def reviewer_name(username: str) -> str:
    """A user's name in the letters an annotator may have; "@" is the mark of a version there."""
    return re.sub(r"[^\w.+/-]", "_", username.replace("@", "_at_")).strip("_") or "someone"


def _contradictions(review: Review) -> Iterator[str]:
    ticked = [pattern for pattern in review.patterns if pattern != questions.NONE]
    if ticked and questions.NONE in review.patterns:
        yield f'"none of these" beside {", ".join(map(questions.title, ticked))}'
    entries = review.form.by_name
    present = [name for name, is_there in review.said.items() if is_there]
    for pattern in present:
        for other in sorted(set(entries[pattern].excludes) & set(present)):
            if pattern < other or pattern not in entries[other].excludes:
                yield f"{questions.title(pattern)} and {questions.title(other)}, which exclude each other"
    for pattern in sorted({mark.pattern for mark in review.spans} - review.shown):
        yield f"{questions.title(pattern)} is marked and not {'rated above its lowest value' if entries[pattern].graded else 'ticked'}"
    for mark in sorted({mark for mark in review.spans if not _judged(entries[mark.pattern], mark.field)}):
        yield f"{questions.title(mark.pattern)} is marked in the {mark.field}, where it is not judged"
    marked = {mark.pattern for mark in review.evidence}
    for pattern in ticked:
        if pattern in review.form.marked and pattern not in marked:
            yield f"{questions.title(pattern)} is ticked and not marked"


def _judged(entry: Pattern, field: str) -> bool:
    return entry.judged_on in (field, "both")


def _number(name: str, given: Any) -> float:
    """A value as the page sends it: the place of a level as text, a number, or a number as text."""
    try:
        return float(given)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {given!r} is no number") from None


def _of_form(
    versions: Mapping[int, Mapping[str, Annotation]], form: ReviewForm
) -> dict[int, dict[str, Annotation]]:
    """Somebody's versions of the entries of a form: each codebook is judged and edited by itself."""
    own = {
        number: {name: one for name, one in said.items() if name in form.names}
        for number, said in versions.items()
    }
    return {number: said for number, said in own.items() if said}


def _differ(new: Annotation, old: Annotation | None) -> bool:
    if old is None:
        return True
    return (new.label, set(new.spans), new.rationale, _rounded(new.score)) != (
        old.label, set(old.spans), old.rationale, _rounded(old.score)
    )  # fmt: skip


def _rounded(score: float | None) -> float | None:
    """A score as precise as the table keeps it."""
    return None if score is None else round(score, 4)
