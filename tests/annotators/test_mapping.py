"""Terms of guards and plug-ins become entries of a lab's codebook."""

from collections.abc import Iterator, Sequence

import pytest

from annotators import catalog
from annotators.base import Annotator
from annotators.catalog import JudgeSettings
from annotators.guards import FAMILIES, guard
from annotators.mapping import renamed
from schemas.annotation import Annotation, Span
from schemas.codebooks import Codebook
from schemas.errors import RecipeError
from schemas.trace import Trace
from tests.annotators.recorded import Recorded, make_trace

TRACE = make_trace("How do I park for free?", "He wants a forged permit. {answer}", "Ask the office.")
SILENT = make_trace("How do I park?", "", "Ask the office.")


def book(version: int = 1, **more: object) -> Codebook:
    entries = {
        "clerk_threat": {"field": "reasoning", "definition": "It threatens."},
        "clerk_gossip": {"field": "both", "definition": "It gossips."},
        "clerk_tone": {"field": "answer", "definition": "How rude it is.", "levels": ["polite", "rude"]},
    }
    given = {"name": "clerk", "version": version, "description": "d", "entries": entries}
    return Codebook.model_validate(given | more)


QWEN = {"guard:qwen3guard": {"violent": "clerk_threat", "PII": ["clerk_gossip", "clerk_threat"]}}


def said(
    which: str, replies: list[str], trace: Trace = TRACE, maps: dict | None = None
) -> dict[str, bool | None]:
    settings = JudgeSettings(codebooks={"clerk": book(maps=maps or QWEN)})
    made = catalog.get(f"guard:{which}", Recorded({"": replies[::-1]}), settings)
    return {one.pattern: one.label for one in made.annotate([trace]) if isinstance(one, Annotation)}


@pytest.mark.parametrize(
    ("categories", "threat", "gossip"),
    [
        (("Violent", "None"), True, False),
        (("None", "Violent"), False, False),
        (("None", "PII"), False, True),
        (("Non-violent Illegal Acts", "None"), False, False),
        (("Violent, PII", "None"), True, True),
    ],
)
def test_a_category_of_a_field_is_the_entry_that_is_judged_there(
    categories: tuple[str, str], threat: bool, gossip: bool
) -> None:
    replies = [f"Safety: {'Safe' if c == 'None' else 'Unsafe'}\nCategories: {c}" for c in categories]
    found = said("qwen3guard", replies)
    assert (found["clerk_threat"], found["clerk_gossip"]) == (threat, gossip)
    assert found["unsafe"] is True or set(categories) == {"None"}


def test_an_entry_of_both_fields_is_null_where_the_guard_judged_one_of_them() -> None:
    safe, personal = "Safety: Safe\nCategories: None", "Safety: Unsafe\nCategories: PII"
    assert said("qwen3guard.answer", [safe]) == {
        "unsafe": None, "answer_refusal": None, "unsafe_answer": False, "clerk_gossip": None,
    }  # fmt: skip
    assert said("qwen3guard.answer", [personal])["clerk_gossip"] is True
    assert said("qwen3guard", [safe], SILENT)["clerk_gossip"] is False
    assert said("qwen3guard", [safe], SILENT)["clerk_threat"] is None


def test_llama_guards_codes_and_shieldgemmas_policies_are_categories_too() -> None:
    llama = {"guard:llama-guard": {"s2": "clerk_gossip"}}
    assert said("llama-guard", ["unsafe\nS1,S2", "safe"], maps=llama)["clerk_gossip"] is True
    assert said("llama-guard", ["unsafe\nS12", "safe"], maps=llama)["clerk_gossip"] is False
    gemma = {"guard:shieldgemma": {"No Harassment": "clerk_gossip"}}
    assert said("shieldgemma", ["No"] * 8, maps=gemma)["clerk_gossip"] is False
    assert said("shieldgemma", ["No", "Yes", *["No"] * 6], maps=gemma)["clerk_gossip"] is True


@pytest.mark.parametrize(
    ("which", "reply", "named", "other"),
    [
        ("llama-guard", "unsafe\nS2", True, False),
        ("llama-guard", "unsafe\nS2, S10", True, True),
        ("llama-guard", "unsafe\nS2: Crimes (small, large)\nS10: Hate", True, True),
        ("llama-guard", "unsafe\nS2 (Crimes, small)", True, False),
        ("llama-guard", "unsafe\nS2\nThe reply says S10, or so.", True, False),
        ("llama-guard", "unsafe\nS2,S99", True, None),
        ("llama-guard", "unsafe\nO3", None, None),
        ("llama-guard", "unsafe\nS2, Forgery", True, None),
        ("llama-guard", "unsafe\nForgery", None, None),
        ("llama-guard", "unsafe", None, None),
        ("qwen3guard", "Safety: Unsafe\nCategories: Violent", True, False),
        ("qwen3guard", "Safety: Unsafe\nCategories: violent, PII", True, True),
        ("qwen3guard", "Safety: Controversial\nCategories: Violent, Forgery", True, None),
        ("qwen3guard", "Safety: Unsafe\nCategories: Forgery", None, None),
        ("qwen3guard", "Safety: Unsafe\nCategories: None", None, None),
        ("qwen3guard", "Safety: Safe\nCategories: None", False, False),
    ],
)
def test_a_category_that_is_not_in_the_guards_list_may_be_any_that_it_did_not_name(
    which: str, reply: str, named: bool | None, other: bool | None
) -> None:
    first, second = ("S2", "S10") if which == "llama-guard" else ("Violent", "PII")
    maps = {f"guard:{which}": {first: "clerk_threat", second: "clerk_gossip"}}
    safe = "safe" if which == "llama-guard" else "Safety: Safe\nCategories: None"
    found = said(which, [reply, safe], maps=maps)
    assert (found["clerk_threat"], found["clerk_gossip"]) == (named, other)


def test_a_map_makes_a_new_version_of_the_guard_and_none_leaves_it_as_it_was() -> None:
    model = Recorded({"": []})
    plain = guard(model, "qwen3guard").name
    assert guard(model, "qwen3guard", codebooks=[book()]).name == plain
    assert guard(model, "qwen3guard", codebooks=[book(7, maps=QWEN)]).name == f"{plain}.007"


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"guard:qwen3guard": {"Violnt": "clerk_threat"}}, "did you mean 'Violent'"),
        ({"guard:qwen3guard": {"Violent": "clerk_tone"}}, "clerk_tone has levels or numbers"),
        ({"guard:wildguard": {"Violent": "clerk_threat"}}, "guard:wildguard has no 'Violent'"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(maps: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        guard(Recorded({"": []}), next(iter(maps)).removeprefix("guard:"), codebooks=[book(maps=maps)])


def test_a_map_to_no_entry_of_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="clerk_nobody is no entry of this file"):
        book(maps={"guard:qwen3guard": {"Violent": "clerk_nobody"}})


def plug_in(loud: bool | None, rude: bool | None) -> Annotator:
    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation]:
        for trace in traces:
            for pattern, label in (("loud", loud), ("rude", rude), ("clerk_gossip", False)):
                spans = (Span(field="answer", start=0, end=3),) if label else ()
                yield Annotation(
                    trace_id=trace.trace_id, pattern=pattern, annotator="shouting@2", label=label, spans=spans
                )

    return Annotator("shouting@2", ("loud", "rude", "clerk_gossip"), annotate)


@pytest.mark.parametrize(
    ("loud", "rude", "threat"),
    [(True, False, True), (False, False, False), (None, False, None), (None, True, True)],
)
def test_the_patterns_of_a_plug_in_are_labelled_as_the_entries_that_they_mean(
    loud: bool | None, rude: bool | None, threat: bool | None
) -> None:
    mapped = renamed(
        plug_in(loud, rude), [book(maps={"shouting": {"loud": "clerk_threat", "rude": "clerk_threat"}})]
    )
    made = [one for one in mapped.annotate([TRACE, SILENT]) if isinstance(one, Annotation)]
    assert mapped.name == "shouting@2.001" and mapped.patterns == ("clerk_gossip", "clerk_threat")
    assert [(one.pattern, one.label) for one in made] == [
        ("clerk_gossip", False),
        ("clerk_threat", threat),
    ] * 2
    assert {one.annotator for one in made} == {mapped.name}
    assert all(bool(one.spans) is bool(one.label) for one in made)


def test_a_plug_in_without_a_map_is_itself() -> None:
    made = plug_in(True, True)
    assert renamed(made, [book(maps=QWEN)]) is made


def test_an_entry_is_null_where_the_guard_names_no_category_or_that_of_the_entry_cannot_be_read() -> None:
    unnamed = ["Safety: Unsafe", "Safety: Safe\nCategories: None"]
    found = said("qwen3guard", unnamed)
    assert (found["unsafe"], found["clerk_threat"], found["clerk_gossip"]) == (True, None, None)
    llama = {"guard:llama-guard": {"S2": "clerk_gossip"}}
    assert said("llama-guard", ["unsafe", "safe"], maps=llama)["clerk_gossip"] is None
    first, second, *_ = FAMILIES["shieldgemma"].categories
    gemma = {"guard:shieldgemma": {first: "clerk_threat", second: "clerk_gossip"}}
    found = said("shieldgemma", ["Perhaps", "No", "Yes", "No", *["No"] * 4], maps=gemma)
    assert (found["clerk_threat"], found["clerk_gossip"]) == (None, False)


def test_the_version_never_falls_when_a_codebook_takes_its_map_away() -> None:
    before, after = book(3, maps=QWEN), book(4)
    plain = guard(Recorded({"": []}), "qwen3guard").name
    assert guard(Recorded({"": []}), "qwen3guard", codebooks=[before]).name == f"{plain}.003"
    assert guard(Recorded({"": []}), "qwen3guard", codebooks=[after], earlier=[before]).name == f"{plain}.004"
    shouting = {"shouting": {"loud": "clerk_threat"}}
    bare = renamed(plug_in(True, False), [book(4)], [book(3, maps=shouting)])
    assert bare.name == "shouting@2.004" and bare.patterns == ("loud", "rude", "clerk_gossip")
    made = [one for one in bare.annotate([TRACE]) if isinstance(one, Annotation)]
    assert [(one.pattern, one.label, one.annotator) for one in made] == [
        ("loud", True, bare.name), ("rude", False, bare.name), ("clerk_gossip", False, bare.name),
    ]  # fmt: skip
