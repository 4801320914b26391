"""Weights of parts of a row: each rule names exactly its tokens, in every family, and what it does not name is as before."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from curation.recipe import load_recipe
from schemas.errors import RenderError
from schemas.row import Row
from sft.proof.check import prove
from sft.proof.shown import weighted_texts
from sft.proof.templated import Rendering
from sft.proof.weights import TokenWeights, WeightedRows, weigh
from sft.training.config import TrainConfig
from tests.sft.conftest import make_row

REASONING = (
    "They ask about a lock. This could harm others, so I must refuse. I will say no. Done, as it is unsafe."
)
ROW = make_row("How?", REASONING, "No, sorry.")
FAMILIES = ["r1", "qwen3", "own"]


def weighed(
    tokenizer: Any, rows: list[Row], rules: list[dict[str, Any]], ranges: Path | None = None, **how: Any
) -> WeightedRows:
    proof = prove(tokenizer, rows, 512, rendering=Rendering(**how))
    settings = TokenWeights.model_validate({"rules": rules, "ranges": ranges and str(ranges)})
    return weigh(tokenizer, proof, settings, rows)


def texts(tokenizer: Any, row: Row, weights: list[float], weight: float, **how: Any) -> str:
    """The tokens of a row that have a weight."""
    (tokens,) = prove(tokenizer, [row], 512, rendering=Rendering(**how)).rendered
    assert len(weights) == len(tokens.input_ids)
    chosen = [n for n in range(tokens.prompt_length, len(weights)) if weights[n] == weight]
    return str(tokenizer.decode([tokens.input_ids[n] for n in chosen]))


def one(tokenizer: Any, rule: dict[str, Any], row: Row = ROW, **how: Any) -> str:
    """What a rule names of a row."""
    found = weighed(tokenizer, [row], [{"of": "all", "weight": 1}, {**rule, "weight": 7}], **how)
    return texts(tokenizer, row, found.weights[0], 7.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_part_is_its_own_tokens(tokenizers: dict[str, Any], family: str) -> None:
    tokenizer = tokenizers[family]
    assert one(tokenizer, {"of": "reasoning"}).strip() == REASONING
    assert one(tokenizer, {"of": "answer"}).strip() == "No, sorry."
    assert one(tokenizer, {"of": "end"}) == tokenizer.eos_token
    assert one(tokenizer, {"of": "empty_think"}) == ""
    whole = one(tokenizer, {"of": "all"})
    assert whole.endswith(f"{REASONING}\n</think>\n\nNo, sorry.{tokenizer.eos_token}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_without_reasoning_has_an_empty_think_block_and_no_first_tokens(
    tokenizers: dict[str, Any], family: str
) -> None:
    row = make_row("How?", "", "No.")
    assert one(tokenizers[family], {"of": "empty_think"}, row).strip().endswith("</think>")
    assert one(tokenizers[family], {"of": "first_tokens", "tokens": 3}, row) == ""
    assert one(tokenizers[family], {"of": "reasoning"}, row) == ""


def test_the_first_tokens_are_those_of_the_reasoning(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["qwen3"]
    found = one(tokenizer, {"of": "first_tokens", "tokens": 4})
    assert REASONING.startswith(found.strip()) and len(tokenizer.encode(found)) == 4


def test_the_key_sentence_is_the_first_that_sees_harm_and_the_assessment_all_of_them(
    tokenizers: dict[str, Any],
) -> None:
    key = one(tokenizers["own"], {"of": "key_sentence"})
    assert key.strip() == "This could harm others, so I must refuse."
    assessment = one(tokenizers["own"], {"of": "safety_assessment"})
    assert assessment.startswith(key) and "unsafe." in assessment and "lock" not in assessment


def test_a_later_rule_wins_and_what_no_rule_names_has_weight_one(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["own"]
    rules = [
        {"of": "reasoning", "weight": 0.5},
        {"of": "first_tokens", "tokens": 2, "weight": 2},
        {"of": "key_sentence", "weight": 3},
    ]
    found = weighed(tokenizer, [ROW], rules)
    (weights,) = found.weights
    assert set(weights) == {0.0, 0.5, 1.0, 2.0, 3.0} and weights.count(2.0) == 2
    assert texts(tokenizer, ROW, weights, 1.0).endswith(f"No, sorry.{tokenizer.eos_token}")
    assert found.tokens[1:] == [2, weights.count(3.0)] and found.rows == [1, 1, 1]


def test_rules_are_about_the_rows_they_say(tokenizers: dict[str, Any]) -> None:
    rows = [
        make_row(f"Question {kind}?", REASONING, "No.", n, part).model_copy(update={"kind": kind})
        for n, (kind, part) in enumerate([("harmful", "safety"), ("benign", "safety"), ("benign", "other")])
    ]
    of = {"of": "answer", "weight": 5}
    found = weighed(
        tokenizers["own"], rows, [of | {"kinds": ["benign"]}, of | {"parts": ["safety"], "weight": 6}]
    )
    assert [5.0 in weights for weights in found.weights] == [False, False, True]
    assert [6.0 in weights for weights in found.weights] == [True, True, False]
    assert found.rows == [2, 2]


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def spot(row: Row, text: str, field: str = "reasoning", name: str = "harmful_additions") -> dict[str, Any]:
    """A range over a text that a row has."""
    start = getattr(row, field).index(text)
    return {"trace_id": row.trace_id, "name": name, "field": field, "start": start, "end": start + len(text)}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_piece_of_a_risky_span_is_learned(tokenizers: dict[str, Any], tmp_path: Path, family: str) -> None:
    """A span that begins and ends inside words, behind an emoji and an accent."""
    row = make_row("How?", "Café 🙂 first. Then the dangerous step. I stop.", "No.")
    path = written(tmp_path / "r.jsonl", spot(row, "angerous ste"))
    rules = [{"of": "ranges", "names": ["risky"], "weight": 0}]
    (weights,) = weighed(tokenizers[family], [row], rules, path).weights
    kept = texts(tokenizers[family], row, weights, 1.0)
    assert "angerous" not in kept and "ste" not in kept
    assert "Café 🙂 first. Then the" in kept and "I stop." in kept


def test_ranges_are_chosen_by_name_and_may_be_in_the_answer(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    mine = spot(ROW, "sorry", "answer", "apology")
    path = written(tmp_path / "r.jsonl", mine, spot(ROW, "lock"))
    rules = [{"of": "ranges", "names": ["apology"], "weight": 4}]
    found = weighed(tokenizers["own"], [ROW], rules, path)
    assert texts(tokenizers["own"], ROW, found.weights[0], 4.0).strip() == "sorry"
    every = weighed(tokenizers["own"], [ROW], [{"of": "ranges", "weight": 4}], path)
    assert every.tokens[0] > found.tokens[0]


def test_ranges_of_another_text_are_left_out_and_counted(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    beyond = {**spot(ROW, "lock"), "end": 10_000}
    other = {**spot(ROW, "lock"), "text_id": "0" * 32}
    found = weighed(
        tokenizers["own"],
        [ROW],
        [{"of": "ranges", "weight": 0}],
        written(tmp_path / "r.jsonl", beyond, other),
    )
    assert (found.lost, found.tokens) == (2, [0])


def test_ranges_move_with_the_characters_that_escape_control_tokens(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    row = make_row("How?", "It says <|end|> and then <|end|> danger, no.", "No.")
    path = written(tmp_path / "r.jsonl", spot(row, "danger"))
    rules = [{"of": "ranges", "weight": 0}]
    proof = prove(tokenizers["own"], [row], 512, rendering=Rendering(control_tokens="escape"))
    found = weigh(
        tokenizers["own"], proof, TokenWeights.model_validate({"rules": rules, "ranges": str(path)}), [row]
    )
    kept = [i for i, w in zip(proof.rendered[0].input_ids, found.weights[0], strict=True) if w == 1]
    assert "danger" not in (text := tokenizers["own"].decode(kept)) and ", no." in text and "and then" in text


def test_rows_labelled_risky_without_a_range_and_rows_without_loss_are_counted(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    marked, unmarked = (
        make_row(f"How {n}?", REASONING, "No.", n).model_copy(update={"risky": ("harmful_additions",)})
        for n in range(2)
    )
    path = written(tmp_path / "r.jsonl", spot(marked, "lock"))
    rules = [{"of": "ranges", "weight": 0}]
    assert weighed(tokenizers["own"], [marked, unmarked], rules, path).unmarked == 1
    empty = make_row("How?", "", "No.")
    primer = [{"of": "all", "weight": 0}, {"of": "first_tokens", "tokens": 8, "weight": 1}]
    assert weighed(tokenizers["own"], [ROW, empty], primer).silent == 1
    with pytest.raises(RenderError, match="no token of any row"):
        weighed(tokenizers["own"], [empty], primer)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rules": []}, "at least 1"),
        ({"rules": [{"of": "first_tokens", "weight": 1}]}, "how many first_tokens"),
        ({"rules": [{"of": "answer", "weight": 1, "tokens": 3}]}, "how many first_tokens"),
        ({"rules": [{"of": "answer", "weight": -1}]}, "greater than or equal to 0"),
        ({"rules": [{"of": "answer", "weight": float("nan")}]}, "less than or equal to 1000"),
        ({"rules": [{"of": "answer", "weight": 1, "names": ["risky"]}]}, "those of ranges"),
        ({"rules": [{"of": "ranges", "weight": 1}]}, "name the file"),
        ({"rules": [{"of": "tail", "weight": 1}]}, "key_sentence"),
    ],
)
def test_a_rule_that_says_too_little_or_too_much_is_a_fault(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TokenWeights.model_validate(settings)


def test_tokens_of_equal_weight_are_shown_as_one_text(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["qwen3"]
    row = make_row("How?", "Café 🙂 one. I must refuse, as it is harmful.", "No.")
    proof = prove(tokenizer, [row], 512)
    settings = TokenWeights.model_validate(
        {"rules": [{"of": "answer", "weight": 3}, {"of": "end", "weight": 0}]}
    )
    found = weigh(tokenizer, proof, settings, [row])
    shown = weighted_texts(tokenizer, proof.rendered[0], found.weights[0])
    assert shown == [(1.0, f"<think>\n{row.reasoning}\n</think>\n\n"), (3.0, "No."), (0.0, "<|im_end|>")]


def shipped(name: str) -> TrainConfig:
    return load_recipe(Path(str(files("sft") / "recipes" / f"{name}.yaml")), TrainConfig).recipe


def test_the_recipe_of_safepath_learns_the_primer_alone_of_harmful_rows(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["qwen3"]
    begun = make_row("How?", f"Let's think about safety first.\n{REASONING}", "No.", 1, "trigger")
    rows = [begun, make_row("Sum?", "One and one.", "Two.", 2, "retain")]
    settings = shipped("safepath").token_weights
    assert settings is not None
    found = weigh(tokenizer, prove(tokenizer, rows, 512), settings, rows)
    learned = texts(tokenizer, begun, found.weights[0], 1.0)
    assert begun.reasoning.startswith(learned.strip()) and found.weights[0].count(1.0) == 8
    assert set(found.weights[1]) == {0.0, 1.0} and "Two." in texts(tokenizer, rows[1], found.weights[1], 1.0)


def test_the_recipe_of_safekey_weighs_the_key_sentence(tokenizers: dict[str, Any]) -> None:
    settings = shipped("safekey").token_weights
    assert settings is not None
    found = weigh(tokenizers["own"], prove(tokenizers["own"], [ROW], 512), settings, [ROW])
    assert (
        texts(tokenizers["own"], ROW, found.weights[0], 5.0).strip()
        == "This could harm others, so I must refuse."
    )


def test_the_recipe_of_the_good_part_names_spans_and_benign_rows() -> None:
    recipe = shipped("good-part")
    assert recipe.token_weights is not None and recipe.kl_to_base is not None
    assert recipe.token_weights.rules[0].names == ("risky",) and "benign" in recipe.kl_to_base.kinds
