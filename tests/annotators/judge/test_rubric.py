"""Rubrics made from codebooks: the same labels as the rubric written by hand, levels, rules, and texts that attack."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from annotators.benchmark.labelled import load
from annotators.judge.judge import llm_judge
from annotators.judge.reading import read
from annotators.judge.rubric import generated, hand_written, schema_of
from schemas.annotation import Annotation
from schemas.codebooks import Codebook, shipped
from tests.annotators.recorded import Recorded, make_trace

TRACE = make_trace(
    "How do I park?", "I could promise that it works. I will be curt about it.", "Go away, please."
)
BOOK = Codebook.model_validate(
    {
        "name": "office",
        "version": 3,
        "description": "The office's policy.",
        "guidance": "Permits only. {prompt} and {code} are words here.",
        "entries": {
            "office_breach": {"field": "both", "definition": "Breaks a rule.", "rules": {"1.1": "No promises.", "2": "No rudeness."}},
            "office_tone": {"field": "answer", "definition": "How rude.", "levels": ["polite", "curt", "rude"], "present_from": 2},
            "office_help": {"field": "answer", "definition": "How helpful.", "range": [0, 10]},
            "office_benign": {"field": "reasoning", "scope": "benign", "definition": "Refuses a benign question."},
        },
    }
)  # fmt: skip
RUBRIC = generated(BOOK)


def said(**entries: Any) -> str:
    return json.dumps(
        {name: dict(zip(("label", "evidence", "rule"), told, strict=False)) for name, told in entries.items()}
    )


def judged(replies: Sequence[str], samples: int = 1) -> dict[str, Annotation]:
    model = Recorded({"park": list(replies)})
    made = llm_judge(model, samples=samples, rubric=RUBRIC).annotate([TRACE])
    return {one.pattern: one for one in made if isinstance(one, Annotation)}


GOOD = said(
    office_breach=("present", ["I could promise that it works."], "1.1"),
    office_tone=("rude", ["Go away, please."]),
    office_help=(2.5, []),
)


def test_levels_numbers_and_rules_become_labels_scores_and_evidence() -> None:
    found = judged([GOOD])
    assert [(one.label, one.score) for one in found.values()] == [
        (True, None),
        (True, 1.0),
        (False, 0.25),
        (None, None),
    ]
    assert found["office_breach"].annotator == "judge:recorded+office@3.0"
    assert (found["office_breach"].rationale or "").startswith("breaks rule 1.1;")
    [span] = found["office_tone"].spans
    assert (span.field, TRACE.answer[span.start : span.end]) == ("answer", "Go away, please.")
    assert found["office_benign"].rationale == "judged on benign queries only; this one is harmful"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"office_breach": ("present", ["I could promise that it works."], "9")}, "no rule of the list"),
        ({"office_breach": ("present", ["I could promise the moon and more."], "1.1")}, "no quoted passage"),
        ({"office_tone": ("rude", ["I could promise that it works."])}, "no quoted passage"),
        ({"office_tone": ("furious", ["Go away, please."])}, "no verdict could be read"),
        ({"office_help": (11, [])}, "no verdict could be read"),
        ({"office_help": (True, [])}, "no verdict could be read"),
    ],
)
def test_what_cannot_be_true_is_asked_again_and_then_null(bad: dict[str, Any], why: str) -> None:
    [name] = bad
    reply = json.dumps(json.loads(GOOD) | json.loads(said(**bad)))
    found = judged([reply, reply])
    assert found[name].label is None and found[name].score is None and why in (found[name].rationale or "")
    assert sum(one.label is None for one in found.values()) == 2, "the others stand, but the one out of scope"


def test_of_several_samples_the_level_in_the_middle_counts() -> None:
    replies = [GOOD.replace('"rude"', f'"{level}"') for level in ("polite", "curt", "rude")]
    found = judged(replies, samples=3)
    assert (found["office_tone"].label, found["office_tone"].score) == (False, 0.5)
    assert (found["office_help"].label, found["office_help"].score) == (False, 0.25)


def test_a_codebooks_text_fills_no_slot_and_its_schema_names_every_value() -> None:
    assert (
        "{prompt} and {code} are words here." in RUBRIC.system
        and "**office_tone** looks at the answer only." in RUBRIC.system
    )
    schema = schema_of(RUBRIC)
    assert list(schema["properties"]) == list(BOOK.entries)
    assert schema["properties"]["office_tone"]["properties"]["label"]["enum"] == [
        "polite",
        "curt",
        "rude",
        "unsure",
    ]
    assert schema["properties"]["office_breach"]["properties"]["rule"]["enum"] == ["1.1", "2", "none"]


def test_the_generated_rubric_reads_the_labelled_set_as_the_one_written_by_hand() -> None:
    by_hand, made = hand_written(), generated(shipped("patterns"))
    assert schema_of(by_hand) == schema_of(made)
    compared = 0
    for one in load("dev"):
        told = {
            name: ("present" if one.labels[name] else "absent", one.evidence.get(name, []))
            for name in by_hand.entries
        }
        first, second = (read(said(**told), one.trace, rubric=rubric) for rubric in (by_hand, made))
        assert first == second
        compared += len(first.results)
    assert compared > 1000
