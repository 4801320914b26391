"""What a person says of a trace on its page, kept as a review by that person, from which `human:NAME` annotations follow.

A review here is one of a round named "view" (of a codebook "view:NAME"), so versions, withdrawal and consensus are the same as with `curate review`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from curation.corpus.store import Store
from curation.review import ledger, reviews
from curation.review.form.questions import FIVE, NONE, VALUE, ReviewForm
from curation.review.reviews import SUBMITTED, GivenValue, Review
from schemas.errors import DataError

ROUND = "view"
LONGEST = 2000
"""Characters of a note."""


def round_of(codebook: str | None) -> str:
    """The round of the page's reviews of a codebook; null for the five patterns. Rounds of `curate review` have no colon in their names."""
    return f"{ROUND}:{codebook}" if codebook else ROUND


def save(
    corpus: Store,
    trace_id: str,
    reviewer: str,
    form: Mapping[str, Sequence[str]],
    asked: ReviewForm = FIVE,
) -> Review:
    """Keep what a form says: entries or "none", values, a verdict, a note. A form without a tick is kept as a draft; one that says
    what stands already, such as one sent again after a crash, makes no second version.

    Args:
        corpus: the corpus.
        trace_id: one of its traces.
        reviewer: the person, in the letters of an annotator's name.
        form: the fields pattern, value-NAME, verdict, note and action (save, or withdraw).
        asked: the entries that the page asked for.

    Raises:
        DataError: if the form is not one of the page's.
    """
    review = _said(trace_id, reviewer, form, asked)
    said = [one for one in ledger.load(corpus, asked) if (one.trace_id, one.reviewer) == (trace_id, reviewer)]
    latest = max(
        (one for one in said if one.round == review.round), key=lambda one: one.updated_at, default=None
    )
    if latest and latest.content == review.content and latest in reviews.standing(said):
        ledger.add(corpus, [])  # whoever saved it was perhaps killed before its annotations were written
        return latest
    review = reviews.after(review, latest)
    ledger.add(corpus, [review])
    return review


def _said(trace_id: str, reviewer: str, form: Mapping[str, Sequence[str]], asked: ReviewForm) -> Review:
    patterns = tuple(dict.fromkeys(form.get("pattern", ())))
    note = " ".join(form.get("note", ())).strip()[:LONGEST]
    verdict = next((one for one in form.get("verdict", ()) if one), None)
    if NONE in patterns and len(patterns) > 1:
        raise DataError('"none of these" and a pattern were both ticked; untick one of them')
    given = {entry.name: " ".join(form.get(VALUE + entry.name, ())).strip() for entry in asked.graded}
    answered = patterns if asked.ticked else any(given.values())
    status = "discarded" if "withdraw" in form.get("action", ()) else SUBMITTED if answered else "draft"
    now = datetime.now(UTC).isoformat()
    try:
        entries = asked.by_name
        values = tuple(GivenValue(name, entries[name].number(text)) for name, text in given.items() if text)
        return reviews.checked(
            Review(
                round_of(asked.codebook), trace_id, reviewer, now, status, verdict, patterns, (), note or None, values=values, form=asked
            )
        )  # fmt: skip
    except ValueError as error:
        raise DataError(f"this label was not saved: {error}") from error
