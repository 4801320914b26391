"""`curate build-pairs`: preferences and step labels for other trainers, each line traceable to its traces."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.pairs import stage
from schemas import RISKY_PATTERNS, RecipeError, content_id, prompt_id
from schemas.manifest import Manifest
from tests.command_line import curate

RISKY_WORDS = "But maybe I can still write it."


def trace(
    n: int, sample: int, risky: bool, parent: str | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    text = f"Question {n} about a neighbour"
    trace_id = content_id(["pair", n, sample])
    start = len("Ääh, let me think. ")
    reasoning = "Ääh, let me think. " + (f"{RISKY_WORDS} Then I stop." if risky else "I should decline.")
    row = {
        "trace_id": trace_id, "prompt_id": prompt_id(text), "prompt": text, "kind": "harmful", "model": "m@1",
        "sample_index": sample, "reasoning": reasoning, "answer": "Here you go." if risky else "Sorry, no.", "parent_id": parent,
    }  # fmt: skip
    labels = [
        {
            "trace_id": trace_id, "pattern": pattern, "annotator": "rules@2",
            "label": risky and pattern == "weak_vacillation",
            "spans": [{"field": "reasoning", "start": start, "end": start + len(RISKY_WORDS)}]
            if risky and pattern == "weak_vacillation" else [],
        }
        for pattern in RISKY_PATTERNS
    ]  # fmt: skip
    return row, labels


@pytest.fixture
def pairable(corpus: Store) -> Store:
    """Ten prompts with two safe traces and a risky one; the first safe one repairs the risky one. Prompt 10 has only safe ones."""
    rows, labels = [], []
    for n in range(11):
        risky = trace(n, 0, True)
        made = [trace(n, 1, False, risky[0]["trace_id"]), trace(n, 2, False), *([risky] if n < 10 else [])]
        rows += [row for row, _ in made]
        labels += [label for _, mine in made for label in mine]
    corpus.append_rows("traces", rows)
    corpus.append_rows("annotations", labels)
    return corpus


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def built(store: Store, out: Path, recipe: str = "safe-over-risky", **changes: Any) -> Manifest:
    settings, where = stage.load(recipe)
    return stage.run(store.root, stage.Loaded(settings.model_copy(update=changes), where), out=out)


def test_every_pair_prefers_a_safe_trace_of_the_same_prompt_and_names_both(
    pairable: Store, tmp_path: Path
) -> None:
    manifest = built(pairable, tmp_path / "pairs")
    pairs = lines(tmp_path / "pairs", "dpo")
    assert len(pairs) == 10 and manifest.counts.kept == 10 and manifest.counts.balance == 0
    assert manifest.counts.filtered == {"per_prompt": 10}
    for pair in pairs:
        n = int(pair["prompt"][0]["content"].split()[1])
        assert pair["rejected_trace_id"] == content_id(["pair", n, 0])
        assert pair["chosen_trace_id"] in {content_id(["pair", n, sample]) for sample in (1, 2)}
        assert "I should decline." in pair["chosen"][0]["content"]
        assert "Here you go." in pair["rejected"][0]["content"]


def test_a_repaired_trace_is_paired_with_its_parent_only(pairable: Store, tmp_path: Path) -> None:
    built(pairable, tmp_path / "pairs", "repaired")
    pairs = lines(tmp_path / "pairs", "dpo")
    chosen = {pair["chosen_trace_id"] for pair in pairs}
    assert chosen == {content_id(["pair", n, 1]) for n in range(10)}


def test_steps_are_false_exactly_where_the_evidence_is(pairable: Store, tmp_path: Path) -> None:
    built(pairable, tmp_path / "pairs")
    by_trace = {line["trace_id"]: line for line in lines(tmp_path / "pairs", "steps")}
    risky = by_trace[content_id(["pair", 3, 0])]
    assert risky["completions"] == ["Ääh, let me think.", RISKY_WORDS, "Then I stop."]
    assert risky["labels"] == [True, False, True]
    assert all(
        all(line["labels"]) for line in by_trace.values() if "I should decline." in line["completions"]
    )


def test_a_risky_trace_without_evidence_has_no_step_labels(pairable: Store, tmp_path: Path) -> None:
    row, labels = trace(10, 0, True)
    pairable.append_rows("traces", [row])
    pairable.append_rows("annotations", [{**label, "spans": []} for label in labels])
    manifest = built(pairable, tmp_path / "pairs")
    assert row["trace_id"] not in {line["trace_id"] for line in lines(tmp_path / "pairs", "steps")}
    assert manifest.summary["traces_without_step_labels"] == 1


def test_kto_has_each_trace_once_and_grpo_each_prompt_once(pairable: Store, tmp_path: Path) -> None:
    built(pairable, tmp_path / "pairs", per_prompt=2)
    labelled = lines(tmp_path / "pairs", "kto")
    assert len(labelled) == 30 and len({line["trace_id"] for line in labelled}) == 30
    assert sum(line["label"] for line in labelled) == 20
    prompts = lines(tmp_path / "pairs", "grpo")
    assert len(prompts) == 10 and {line["kind"] for line in prompts} == {"harmful"}


def test_building_twice_gives_the_same_bytes_and_take_draws_from_the_same_order(
    pairable: Store, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        built(pairable, tmp_path / name)
    few = built(pairable, tmp_path / "few", take=4)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    assert lines(tmp_path / "few", "dpo") == lines(tmp_path / "a", "dpo")[:4]
    assert few.counts.filtered == {"not drawn": 6, "per_prompt": 10}


def test_contaminated_traces_are_in_no_pair(pairable: Store, tmp_path: Path) -> None:
    found = {
        "field": "answer",
        "id": content_id(["pair", 0, 0]),
        "benchmark": "b",
        "benchmark_row": "1",
        "method": "ngram13",
        "score": 1.0,
    }
    pairable.append_rows("contamination", [found])
    manifest = built(pairable, tmp_path / "pairs")
    assert manifest.counts.filtered["contaminated"] == 2 and len(lines(tmp_path / "pairs", "dpo")) == 9


def test_the_reasoning_is_where_the_named_template_takes_it(pairable: Store, tmp_path: Path) -> None:
    built(pairable, tmp_path / "pairs", template="qwen3")
    (said,) = lines(tmp_path / "pairs", "dpo")[0]["chosen"]
    assert said["content"] == "Sorry, no." and said["reasoning_content"].endswith("I should decline.")


def test_no_pair_says_what_each_condition_matches(pairable: Store, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r'"chosen" 22 traces, "rejected" 0, prompts with both 0'):
        built(pairable, tmp_path / "pairs", rejected="unsafe")
    assert not (tmp_path / "pairs").exists()


def test_every_fault_is_told_with_its_line_and_no_condition_is_more_than_one(
    pairable: Store, tmp_path: Path
) -> None:
    recipe = tmp_path / "p.yaml"
    recipe.write_text(
        'name: p\nchosen: nothing_like_it\nrejected: "true) or (select 1); copy traces to \'x"\n'
    )
    done = curate("build-pairs", recipe, "--corpus", pairable.root, "--out", tmp_path / "o", cwd=tmp_path)
    assert done.returncode == 1 and "p.yaml:2" in done.stderr and "p.yaml:3" in done.stderr
    assert not (tmp_path / "x").exists()


def test_the_command_builds_a_shipped_recipe_and_an_unknown_one_lists_them(
    pairable: Store, tmp_path: Path
) -> None:
    done = curate(
        "build-pairs",
        "safe-over-risky",
        "--corpus",
        pairable.root,
        "--out",
        tmp_path / "p",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0 and json.loads(done.stdout)["summary"]["dpo_lines"] == 10
    unknown = curate("build-pairs", "nope", "--corpus", pairable.root, "--out", tmp_path / "q", cwd=tmp_path)
    assert unknown.returncode == 1 and "repaired, safe-over-risky" in unknown.stderr
