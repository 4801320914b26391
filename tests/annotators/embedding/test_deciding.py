"""Decisions as labels teach them."""

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

from annotators.benchmark import load
from annotators.embedding.deciding import HeldOutTrace, best_threshold, decided, fit_decisions
from annotators.embedding.examples import Example
from annotators.embedding.model import Decision, Read, TrainedReader, open_model
from schemas.patterns import RISKY_PATTERNS

NAME = RISKY_PATTERNS[2]
SHIPPED = dict.fromkeys(RISKY_PATTERNS, Decision(slope=1.0, shift=-1.0))


@pytest.fixture(scope="module")
def model() -> TrainedReader:
    return open_model()


def seen(model: TrainedReader, labels: list[bool]) -> list[HeldOutTrace]:
    """Traces that the shipped annotator cannot tell apart, and the states can."""
    trace = load("dev")[0].trace
    width = model.reader.encoder.width // 2
    return [
        HeldOutTrace(
            Example(trace, {NAME: label}, {}, str(number)),
            Read(
                dict.fromkeys(RISKY_PATTERNS, 0.0),
                {},
                frozenset(),
                states=(float(label),) * 8 + (float(number % 3),) * width,
            ),
            dict.fromkeys(RISKY_PATTERNS, 0.0),
        )
        for number, label in enumerate(labels)
    ]


def test_labels_teach_what_the_logit_does_not_say(model: TrainedReader) -> None:
    rows = seen(model, [True, False, False, False] * 15)
    learned = fit_decisions("embedding", SHIPPED, rows)
    likely = [learned[NAME].probability(0.0, 0.0, one.read.states) for one in rows]
    assert min(likely[::4]) > max(likely[1::4])
    assert all(learned[name] == SHIPPED[name] for name in RISKY_PATTERNS if name != NAME)


def test_a_single_label_of_one_value_changes_nothing(model: TrainedReader) -> None:
    assert fit_decisions("embedding", SHIPPED, seen(model, [True] + [False] * 59)) == SHIPPED


def test_further_labels_go_on_from_what_others_taught(model: TrainedReader) -> None:
    rows = seen(model, [True, False, False, False] * 15)
    first = fit_decisions("embedding", SHIPPED, rows)
    few = [rows[place] for place in (0, 1, 2, 4, 5, 6)]
    second = fit_decisions("embedding", first, few)
    unknown = fit_decisions("embedding", SHIPPED, few)

    def apart(decision: Decision) -> float:
        yes, no = (decision.probability(0.0, 0.0, rows[place].read.states) for place in (0, 3))
        return yes - no

    assert apart(second[NAME]) > apart(first[NAME]) > 1.2 * apart(unknown[NAME])


def test_decisions_made_anew_keep_the_weights_and_forget_the_old_ones(model: TrainedReader) -> None:
    examples = [Example(item.trace, item.labels, item.evidence, item.source) for item in load("dev")[:40]]
    old = model.card.model_copy(update={"decisions": {"embedding": SHIPPED, "ensemble": SHIPPED}})
    made = [decided(TrainedReader(model.reader, card), examples) for card in (model.card, old)]
    assert made[0].card.decisions == made[1].card.decisions and made[0].reader is model.reader
    assert made[0].card.decisions["embedding"][NAME].own
    assert made[0].card.held_out["embedding"][NAME].traces > 30


def test_what_was_learned_survives_saving(model: TrainedReader, tmp_path: Path) -> None:
    learned = fit_decisions("embedding", SHIPPED, seen(model, [True, False] * 30))
    card = model.card.model_copy(update={"decisions": {"embedding": learned}})
    TrainedReader(model.reader, card).save(tmp_path)
    opened = open_model(tmp_path).card.decisions["embedding"]
    assert opened[NAME].own == pytest.approx(learned[NAME].own)
    assert opened[RISKY_PATTERNS[0]].own == ()


def test_a_threshold_lies_between_probabilities_where_the_expected_f1_is_best() -> None:
    assert best_threshold([0.9, 0.9, 0.1, 0.05]) == pytest.approx(0.5)
    assert best_threshold([0.6, 0.5, 0.3, 0.0]) == pytest.approx(0.4)
