"""What a person says of a trace on its page, kept as a review by that person, from which `human:NAME` annotations follow.

A review here is one of a round named "view", so versions, withdrawal and consensus are the same as with `curate review`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from curation.corpus.store import Store
from curation.review import ledger, reviews
from curation.review.questions import NONE
from curation.review.reviews import SUBMITTED, Review
from schemas.errors import DataError

ROUND = "view"
LONGEST = 2000
"""Characters of a note."""


def save(corpus: Store, trace_id: str, reviewer: str, form: Mapping[str, Sequence[str]]) -> Review:
    """Keep what a form says: patterns or "none", a verdict, a note. A form without patterns is kept as a draft.

    Args:
        corpus: the corpus.
        trace_id: one of its traces.
        reviewer: the person, in the letters of an annotator's name.
        form: the fields pattern, verdict, note and action (save, or withdraw).

    Raises:
        DataError: if the form is not one of the page's.
    """
    patterns = tuple(dict.fromkeys(form.get("pattern", ())))
    note = " ".join(form.get("note", ())).strip()[:LONGEST]
    verdict = next((one for one in form.get("verdict", ()) if one), None)
    if NONE in patterns and len(patterns) > 1:
        raise DataError('"none of these" and a pattern were both ticked; untick one of them')
    status = "discarded" if "withdraw" in form.get("action", ()) else SUBMITTED if patterns else "draft"
    now = datetime.now(UTC).isoformat()
    try:
        review = reviews.checked(
            Review(ROUND, trace_id, reviewer, now, status, verdict, patterns, (), note or None)
        )
    except ValueError as error:
        raise DataError(f"this label was not saved: {error}") from error
    review = reviews.after(review, ledger.latest(corpus, ROUND).get((trace_id, reviewer)))
    ledger.add(corpus, [review])
    return review
