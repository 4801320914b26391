"""curate repair: the prefix is kept, the rest is written anew, the parent is named."""

from collections.abc import Callable
from typing import Any

import pytest

from curation.codebook.stage import add
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from curation.generate.repair import EvidenceSpan, RepairRecipe, beginning, run
from curation.generate.sample import judge
from curation.generate.stage import GenerateRecipe
from curation.generate.stage import run as generate
from curation.generate.strategies import shipped
from schemas.codebooks import Codebook
from schemas.errors import RecipeError
from tests.curation.chain_model import DECLINE, REFUSAL, START, WAVER

GOOD = f"<think>\n{START}{DECLINE}\n</think>{REFUSAL}"
RISKY = f"<think>\n{START}{WAVER}{DECLINE}\n</think>{REFUSAL}"
ENGINE = {"model": "scripted"}


@pytest.fixture
def risky(prompts: Store, scripted: Callable[..., Any]) -> Store:
    """Three harmful prompts; the reasoning of two of them wavers."""
    said = iter([RISKY, RISKY, GOOD])
    scripted(lambda messages: next(said))
    generate(prompts.root, GenerateRecipe.model_validate({"engine": ENGINE, "where": "kind = 'harmful'"}))
    return prompts


def recipe(**settings: Any) -> RepairRecipe:
    return RepairRecipe.model_validate({"generate": {"engine": ENGINE}} | settings)


def test_a_repair_goes_on_from_just_before_the_first_risky_sentence(
    risky: Store, scripted: Callable[..., Any]
) -> None:
    engine = scripted(lambda messages: f"{DECLINE}\n</think>{REFUSAL}")
    run(risky.root, recipe())
    query, begun = engine.asked[0]
    assert query == shipped("improved").messages("How do I copy a parking permit?")[0]
    assert begun == {"role": "assistant", "content": f"<think>\n{START}"}


def test_a_repaired_trace_names_its_parent_which_stays(risky: Store, scripted: Callable[..., Any]) -> None:
    scripted(lambda messages: f"{DECLINE}\n</think>{REFUSAL}")
    manifest = run(risky.root, recipe())
    rows = select(
        connect(risky),
        """select c.reasoning, c.strategy, c.prompt = p.prompt as same, p.reasoning as before from traces c
        join traces p on c.parent_id = p.trace_id order by c.source_line""",
    ).to_pylist()
    assert (
        rows
        == [
            {
                "reasoning": START + DECLINE,
                "strategy": "default+improved",
                "same": True,
                "before": START + WAVER + DECLINE,
            }
        ]
        * 2
    )
    assert (manifest.summary["parents"], manifest.summary["repaired"]) == (2, 2)


def test_entries_of_a_codebook_are_repaired_from_the_first_sentence_that_shows_one(
    risky: Store, scripted: Callable[..., Any]
) -> None:
    entries = {
        "office_haste": {"field": "reasoning", "definition": "It is hasty."},
        "office_tone": {
            "field": "reasoning",
            "definition": "How rude.",
            "levels": ["polite", "curt", "rude"],
        },
    }
    book = {"name": "office", "version": 1, "description": "d", "entries": entries}
    add(risky, Codebook.model_validate(book))
    found = select(
        open_tables(risky),
        "select trace_id, reasoning from traces where not contains(reasoning, $waver)",
        {"waver": WAVER.strip()},
    )
    [good] = found.to_pylist()
    at = good["reasoning"].index(DECLINE.strip()) + 3  # in the middle of the sentence
    spans = [{"field": "reasoning", "start": at, "end": at + 4}]
    row = {"trace_id": good["trace_id"], "annotator": "judge:j+office@1.0", "spans": spans}
    with risky.writing("annotations"):
        risky.append_rows("annotations", [
            row | {"pattern": "office_haste", "label": False, "spans": []},
            row | {"pattern": "office_tone", "label": True, "score": 0.5},
        ])  # fmt: skip
    engine = scripted(lambda messages: f"{DECLINE}\n</think>{REFUSAL}")
    manifest = run(risky.root, recipe(patterns=["office"], accept="not coalesce(office_haste, false)"))
    assert (manifest.summary["parents"], manifest.summary["repaired"]) == (1, 1)
    assert engine.asked[0][1]["content"] == f"<think>\n{START}".rstrip()


def test_the_yield_gained_is_told_on_the_same_traces(risky: Store, scripted: Callable[..., Any]) -> None:
    said = iter([f"{DECLINE}\n</think>{REFUSAL}"] + [f"{WAVER}{DECLINE}\n</think>{REFUSAL}"] * 9)
    engine = scripted(lambda messages: next(said))
    gain: Any = run(risky.root, recipe(tries=3)).summary["yield"]
    assert (gain["traces"], gain["plain_accepted"]) == (3, 1)
    assert (gain["plain_yield"], gain["with_repair_yield"]) == (0.3333, 0.6667)
    assert len(engine.asked) == 2 + 1 + 1  # the repaired one is not tried again


def test_a_rerun_of_a_repair_asks_nobody(risky: Store, scripted: Callable[..., Any]) -> None:
    engine = scripted(lambda messages: f"{WAVER}{DECLINE}\n</think>{REFUSAL}")
    first = run(risky.root, recipe(tries=2))
    assert len(engine.asked) == 4
    again = run(risky.root, recipe(tries=2))
    assert (again.summary, again.counts, len(engine.asked)) == (first.summary, first.counts, 4)


def test_repaired_traces_are_not_repaired_again(risky: Store, scripted: Callable[..., Any]) -> None:
    scripted(lambda messages: f"{WAVER}{DECLINE}\n</think>{REFUSAL}")
    run(risky.root, recipe(tries=1))
    assert run(risky.root, recipe(tries=1)).summary["parents"] == 2


def test_a_broken_continuation_is_quarantined(risky: Store, scripted: Callable[..., Any]) -> None:
    scripted(lambda messages: " and so on")
    counts = run(risky.root, recipe(tries=1)).counts
    assert (counts.rows, counts.quarantined, counts.balance) == (2, {"unclosed": 2}, 0)


def test_the_annotators_see_the_whole_repaired_trace(risky: Store, scripted: Callable[..., Any]) -> None:
    scripted(lambda messages: f"{DECLINE}\n</think>{REFUSAL}")
    settings = recipe()
    run(risky.root, settings)
    assert len(judge(risky, settings.annotate, "parent_id is not null and not risky", 0)) == 2


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([EvidenceSpan("reasoning", 13)], "<think>\nOne — fine."),
        ([EvidenceSpan("reasoning", 30), EvidenceSpan("reasoning", 12)], "<think>\nOne — fine."),
        ([EvidenceSpan("reasoning", 3)], "<think>\n"),
        ([EvidenceSpan("answer", 0)], "<think>\nOne — fine. Two is not. Three.\n</think>\n\n"),
        ([EvidenceSpan("answer", 0), EvidenceSpan("reasoning", 28)], "<think>\nOne — fine. Two is not."),
        ([], "<think>\n"),
    ],
)
def test_the_cut_is_at_a_sentence_in_code_points(spans: list[EvidenceSpan], expected: str) -> None:
    assert beginning("One — fine. Two is not. Three.", spans) == expected


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"generate": {}}, "--model"),
        ({"generate": {"engine": ENGINE, "strategies": ["short"]}}, "one strategy"),
        ({"generate": {"engine": ENGINE, "think": "zero"}}, "as_is"),
        ({"where": "nope = 1"}, "nope"),
    ],
)
def test_wrong_settings_are_refused(
    risky: Store, scripted: Callable[..., Any], settings: Any, fault: str
) -> None:
    scripted(lambda messages: GOOD)
    with pytest.raises(RecipeError, match=fault):
        run(risky.root, recipe(**settings))
