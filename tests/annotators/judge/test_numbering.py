"""Numbered sentences: what the judge sees is the text, and its numbers are exact spans."""

import json
import re
from typing import Any

import pytest

from annotators.judge.judge import llm_judge, question
from annotators.judge.numbering import numbered, sentence_spans
from annotators.judge.rubric import generated, schema_of
from schemas.annotation import Annotation
from schemas.codebooks import Codebook
from tests.annotators.recorded import Recorded, make_trace

TRACE = make_trace(
    "How do I park?",
    "Über Permits — e.g. green ones.\n\n[2:abcd] This line is the text\u2019s own. 请稍等。我想想。\n- Promise it",
    "Go away, please. It works.",
)
BOOK = Codebook.model_validate(
    {
        "name": "office",
        "version": 3,
        "description": "The office's policy.",
        "evidence": "sentences",
        "entries": {
            "office_promise": {"field": "reasoning", "definition": "It promises."},
            "office_tone": {"field": "answer", "definition": "How rude.", "levels": ["polite", "curt", "rude"], "present_from": 2},
            "office_any": {"field": "both", "definition": "Anything."},
        },
    }
)  # fmt: skip
RUBRIC = generated(BOOK)


def texts() -> list[str]:
    return [getattr(TRACE, span.field)[span.start : span.end] for span in sentence_spans(TRACE)]


def judged(*replies: dict[str, Any]) -> dict[str, Annotation]:
    model = Recorded({"park": [json.dumps(reply) for reply in replies]})
    made = llm_judge(model, rubric=RUBRIC).annotate([TRACE])
    return {one.pattern: one for one in made if isinstance(one, Annotation)}


def reply(promise: Any, tone: Any, both: Any) -> dict[str, Any]:
    said = {
        "office_promise": ("present", promise),
        "office_tone": ("rude", tone),
        "office_any": ("present", both),
    }
    return {
        name: {"analysis": "a", "sentences": numbers, "label": label}
        for name, (label, numbers) in said.items()
    }


def shown(one: Annotation) -> list[tuple[str, str]]:
    return [(span.field, getattr(TRACE, span.field)[span.start : span.end]) for span in one.spans]


def test_numbers_run_through_both_fields_and_taking_them_out_gives_the_text() -> None:
    seen = numbered(TRACE, "0123456789")
    assert texts()[0] == "Über Permits — e.g. green ones." and texts()[-3:] == [
        "- Promise it",
        "Go away, please.",
        "It works.",
    ]
    for field in ("reasoning", "answer"):
        assert re.sub(r"\[\d+:0123\] ", "", getattr(seen, field)) == getattr(TRACE, field)
    numbers = re.findall(r"\[(\d+):0123\] ", seen.reasoning + seen.answer)
    assert numbers == [str(n) for n in range(1, len(texts()) + 1)]
    assert numbered(make_trace("q", "", "Yes."), "0123456789") == ("", "[1:0123] Yes.")


def test_the_judge_is_shown_numbers_with_a_code_that_the_text_cannot_know() -> None:
    [system, user] = [message["content"] for message in question(TRACE, RUBRIC)]
    assert "- `sentences`:" in system and "`evidence`" not in system
    code = re.search(r"Code of the markers: (\w+)", user)
    assert code and f"[1:{code[1][:4]}] Über" in user
    entry = schema_of(RUBRIC)["properties"]["office_promise"]["properties"]
    assert entry["sentences"]["items"] == {"type": "integer", "minimum": 1} and "evidence" not in entry


def test_numbers_are_exact_spans_of_the_field_that_an_entry_looks_at() -> None:
    last = len(texts())
    found = judged(reply([1, f"[{last - 2}:abcd]"], [last - 1], [1, last, last]))
    assert shown(found["office_promise"]) == [("reasoning", texts()[0]), ("reasoning", "- Promise it")]
    assert shown(found["office_tone"]) == [("answer", "Go away, please.")] and found["office_tone"].score == 1
    assert shown(found["office_any"]) == [("reasoning", texts()[0]), ("answer", "It works.")]


@pytest.mark.parametrize("numbers", [[], [0], [99], [-1], ["two"], [True], [7], None])
def test_a_number_that_names_no_sentence_of_the_field_is_no_evidence(numbers: Any) -> None:
    assert texts()[6] == "It works."  # number 7 is of the answer
    bad = reply(numbers, [6], [1])
    found = judged(bad, bad)
    assert found["office_promise"].label is None and "no number of a sentence" in (
        found["office_promise"].rationale or ""
    )
    assert found["office_tone"].label and found["office_any"].label


def test_a_quote_that_is_given_beside_a_number_is_searched_for() -> None:
    said = reply([99], [6], [1])
    said["office_promise"]["evidence"] = ["This line is the text's own."]
    [span] = shown(judged(said)["office_promise"])
    assert span == ("reasoning", "This line is the text\u2019s own")
