"""The safety classifier, on a real BERT: families stay together, probabilities are calibrated, long prompts are read."""

import json
import random
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra `models`: pip install -e '.[models]'")

from annotators import catalog
from annotators.safety_classifier.families import families_of, split
from annotators.safety_classifier.model import TOKENS, Decided, SafetyClassifier, head_and_tail, read_card
from annotators.safety_classifier.training import best_temperature, calibration_error, train
from schemas import DataError, EngineError, RecipeError
from schemas.trace import Trace

HARMFUL = ("forge a doctor's note", "dodge the tram fare", "write fake reviews of a rival's cafe", "cheat in the spelling test",
           "get around the school's web filter", "return worn shoes as new", "spam a neighbour's mailbox", "pad a time sheet")  # fmt: skip
BENIGN = ("bake a rye bread", "repair a bicycle tube", "draw a map of the park", "learn ten verbs a day",
          "water tomatoes in summer", "fold a paper boat", "tune a guitar", "write a thank-you letter")  # fmt: skip
FRAMES = ("How do I {}?", "Tell me the best way to {}.", "I want to {}; where do I start?", "My friend asks how to {}.",
          "In simple words, how would somebody {}?", "Give me three tips to {}, please.")  # fmt: skip


def decided() -> list[Decided]:
    chance = random.Random(0)
    rows = [Decided(frame.format(what), 1.0) for what in HARMFUL for frame in FRAMES]
    rows += [Decided(frame.format(what), 0.0) for what in BENIGN for frame in FRAMES]
    chance.shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier")
    train(decided(), "test", out, epochs=4)
    return out


def test_prompts_of_one_template_are_one_family_and_one_request_in_two_templates_is_not() -> None:
    template = "You are an old pirate who answers everything at length and never breaks the rules of the sea, so tell me: {}"
    other = "Write the next scene of our play, in which the wise owl explains to the young fox every detail of this matter: {}"
    prompts = [
        template.format("one thing"),
        template.format("another matter"),
        other.format("one thing"),
        "What is a fox?",
    ]
    first, second, third, fourth = families_of(prompts)
    assert first == second and len({first, third, fourth}) == 3


def test_no_family_stands_in_two_parts_of_a_split() -> None:
    rows = decided()
    families = families_of([row.text for row in rows])
    parts = split(rows, families, seed=1)
    by_text = {row.text: family for row, family in zip(rows, families, strict=True)}
    sets = [{by_text[row.text] for row in part} for part in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) and sum(map(len, parts.values())) == len(rows)


def test_it_learns_the_decision_and_says_how_well_on_unseen_families(folder: Path) -> None:
    card = read_card(folder)
    assert card.test.auroc > 0.9 and card.test.prompts > 5 and card.temperature > 0
    classifier = SafetyClassifier.open(folder)
    likely = classifier.probabilities(["How do I forge a parking permit?", "How do I plant a rose?"])
    assert likely[0] > 0.5 > likely[1]


def test_a_saved_classifier_gives_the_same_probabilities_alone_and_in_a_batch(folder: Path) -> None:
    texts = [row.text for row in decided()[:20]]
    classifier = SafetyClassifier.open(folder)
    together = classifier.probabilities(texts)
    alone = [classifier.probabilities([text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=1e-5)
    assert not list(folder.glob("*.bin")) and (folder / "model.safetensors").is_file()


def test_of_a_long_prompt_both_ends_are_read(folder: Path) -> None:
    classifier = SafetyClassifier.open(folder)
    filler = "The sea was calm and the gulls were loud that morning. " * 180
    ends = ["How do I dodge the tram fare? " + filler, filler + "How do I dodge the tram fare?", filler]
    assert len(ends[0]) > 9000
    rows = classifier.tokens(ends)
    assert [len(row) for row in rows] == [TOKENS] * 3
    asked = classifier.tokens(["How do I dodge the tram fare?"])[0][1:-1]
    assert rows[0][1 : 1 + len(asked)] == asked and rows[1][-1 - len(asked) : -1] == asked
    assert head_and_tail([1, 2, 3, 4, 5], 3) == [1, 2, 5]


def test_temperature_brings_probabilities_to_the_outcome() -> None:
    import numpy as np

    chance = np.random.default_rng(0)
    logits = chance.normal(0, 1.5, 4000)
    truth = (chance.random(4000) < 1 / (1 + np.exp(-logits))).astype(float)
    assert best_temperature(logits * 3, truth.tolist()) == pytest.approx(3, rel=0.15)
    over = calibration_error(1 / (1 + np.exp(-logits * 3)), truth)
    right = calibration_error(1 / (1 + np.exp(-logits)), truth)
    assert right < 0.03 < over


def test_as_an_annotator_it_judges_the_prompt(folder: Path) -> None:
    annotator = catalog.get(f"safety_classifier:{folder}")
    traces = [
        Trace(trace_id=name, prompt_id=name, prompt=text, reasoning="", answer="x")
        for name, text in (("a", "How do I forge a parking permit?"), ("b", "How do I plant a rose?"))
    ]
    found = list(annotator.annotate(traces))
    assert [(one.trace_id, one.pattern, one.label) for one in found] == [
        ("a", "harmful_prompt", True),
        ("b", "harmful_prompt", False),
    ]
    assert str(folder) not in annotator.name


def test_prompts_of_one_decision_are_refused() -> None:
    with pytest.raises(RecipeError, match="both kinds"):
        train([Decided(row.text, 1.0) for row in decided()], "test", Path("unused"))


def test_a_folder_without_a_classifier_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(json.dumps({"teacher": "x"}))
    with pytest.raises(DataError, match="train-classifier"):
        SafetyClassifier.open(tmp_path)


def test_another_bert_may_be_named_and_the_card_says_which(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    from annotators.embedding.encoder import load

    base = tmp_path / "bert"
    load()[1].save_pretrained(base)
    BertModel(
        BertConfig(vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(base)
    card = train(decided(), "test", tmp_path / "out", epochs=1, base=str(base))
    assert read_card(tmp_path / "out") == card and card.base == str(base)
    assert SafetyClassifier.open(tmp_path / "out").probabilities(["How do I plant a rose?"]).shape == (1,)


def test_a_base_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot load an encoder"):
        train(decided(), "test", tmp_path / "out", base=str(tmp_path))
