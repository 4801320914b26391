"""Learning on a handful of traces: that it runs, learns, keeps what it should, and can be opened again."""

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

import torch
from torch.optim.swa_utils import AveragedModel

from annotators.benchmark import edits, load
from annotators.embedding import embedding, training
from annotators.embedding.examples import Example, from_labelled, overlaps, targets
from annotators.embedding.learning import Schedule, fit, steps
from annotators.embedding.model import Card, Decision, TrainedReader, open_model, read_all
from annotators.embedding.reader import SHOWN, Reader
from annotators.embedding.reading import read
from annotators.embedding.training import gather
from annotators.embedding.vectors import SentenceVectors
from schemas.errors import DataError, EngineError
from schemas.patterns import RISKY_PATTERNS


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return from_labelled(load("dev")[:16])


@pytest.fixture(scope="module")
def taught(examples: list[Example]) -> Reader:
    told: list[int] = []
    reader = fit(examples, Schedule(still=6, tuned=1), advance=told.append)
    assert sum(told) == steps(examples, Schedule(still=6, tuned=1))
    return reader


def test_learning_brings_the_verdicts_closer_to_the_labels(examples: list[Example], taught: Reader) -> None:
    def loss(reader: Reader) -> float:
        reads = list(read_all(reader, [example.trace for example in examples]))
        pairs = [
            (r.logits[n], e.labels[n]) for e, r in zip(examples, reads, strict=True) for n in RISKY_PATTERNS
        ]
        known = [(logit, float(label)) for logit, label in pairs if label is not None]
        logits, truth = (torch.tensor(column) for column in zip(*known, strict=True))
        return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, truth))

    torch.manual_seed(0)
    fresh = Reader(SentenceVectors()).eval()
    assert loss(taught) < loss(fresh)


def test_a_model_survives_saving(examples: list[Example], taught: Reader, tmp_path: Path) -> None:
    decisions = {"embedding": {name: Decision(slope=1.0, shift=0.0) for name in RISKY_PATTERNS}}
    card = Card(
        name="9",
        command="",
        encoder=None,
        examples=16,
        groups=1,
        decisions=decisions,
        held_out={},
        false_alarms={},
    )
    TrainedReader(taught, card).save(tmp_path)
    again = open_model(tmp_path)
    assert again.card == card
    traces = [example.trace for example in examples]
    for a, b in zip(read_all(taught, traces), again.read(traces), strict=True):
        assert max(abs(a.logits[name] - b.logits[name]) for name in RISKY_PATTERNS) < 0.1
    name = embedding(tmp_path).name
    assert name.startswith("embedding:own-") and name.endswith("@9")


def test_a_folder_without_an_annotator_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train-annotator"):
        open_model(tmp_path)


def test_an_encoder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no encoder"):
        SentenceVectors(tmp_path)


def test_any_encoder_may_be_taught(examples: list[Example], tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    from annotators.embedding.encoder import load as load_minilm

    load_minilm()[1].save_pretrained(tmp_path)
    config = BertConfig(vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    BertModel(config).save_pretrained(tmp_path)
    reader = fit(examples[:4], Schedule(still=1, tuned=1), base=tmp_path)
    assert len(list(read_all(reader, [examples[0].trace]))) == 1


def test_evidence_becomes_the_sentences_to_show() -> None:
    item = next(item for item in load("dev") if item.labels["strong_vacillation"])
    (example,) = from_labelled([item])
    (document,) = read([item.trace], SentenceVectors().tokenizer)
    found = targets(example, document)
    column = SHOWN.index("strong_vacillation")
    shown = [s for s, row in zip(document.sentences, found.shown, strict=True) if row[column]]
    assert shown
    assert all(
        overlaps(item.trace.reasoning[s.start : s.end], item.evidence["strong_vacillation"]) for s in shown
    )


def test_a_label_that_is_not_known_teaches_nothing() -> None:
    item = next(item for item in load("dev") if item.trace.kind == "benign")
    (example,) = from_labelled([item])
    (document,) = read([item.trace], SentenceVectors().tokenizer)
    known = targets(example, document).known
    assert not known[:, [SHOWN.index(name) for name in RISKY_PATTERNS[:4]]].any()


@pytest.fixture(scope="module")
def lessons(shared_data: Path) -> training.Lessons:
    """All that there is to learn from."""
    return gather(shared_data / "star1.json", shared_data / "real_text")


def test_sources_held_out_for_calibration_are_not_learned_from(lessons: training.Lessons) -> None:
    learned = {example.group for example in lessons.learn}
    assert lessons.clean and not learned & {example.group for example in lessons.held_out}
    assert not lessons.skipped


def test_nothing_made_of_a_held_out_source_is_learned_calibrated_on_or_counted_as_clean(
    lessons: training.Lessons, shared_data: Path
) -> None:
    star1 = edits.star1(shared_data / "star1.json")
    held = edits.load(star1, *edits.HELD_OUT).items
    used = {e.group for part in (lessons.learn, lessons.calibrate, lessons.clean) for e in part}
    assert len(held) > 200 and not used & {item.source for item in held}


def test_without_star1_only_rows_written_anew_are_used() -> None:
    lessons = gather(None, None)
    assert sum(lessons.skipped.values()) > 100
    assert len(lessons.learn) > 371 and not lessons.clean


def test_the_mean_of_the_weights_is_taken_in_full_precision(
    examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    means: list[AveragedModel] = []

    class Watched(AveragedModel):
        def __init__(self, reader: Reader) -> None:
            super().__init__(reader)
            means.append(self)

    monkeypatch.setattr(training, "AveragedModel", Watched)
    monkeypatch.setattr(training, "EVERY", 1)
    lessons = training.Lessons(examples, examples, [], {})
    taught = training.train(lessons, Schedule(still=1, tuned=0)).reader
    (mean,) = means
    learned = {name: value for name, value in mean.module.named_parameters() if value.requires_grad}
    assert {value.dtype for value in learned.values()} == {torch.float32}
    assert mean.n_averaged > 0 and not mean.module.encoder.kept
    own = taught.state_dict()
    assert all(torch.allclose(own[name].float(), value, atol=1e-2) for name, value in learned.items())


def test_decisions_learned_anew_leave_the_weights_and_name_the_version(examples: list[Example]) -> None:
    shipped = open_model()
    assert shipped.card.name == training.NAME
    anew = training.redecided(shipped, training.Lessons([], examples, [], {}))
    assert anew.reader is shipped.reader and anew.card.name == training.NAME
    assert anew.card.command.endswith("--keep-weights")
    assert anew.card.decisions["embedding"] != shipped.card.decisions["embedding"]
