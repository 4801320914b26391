"""What the refusal reader learns from, how lessons are told otherwise, and that a trained one is opened as it was saved."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

pytest.importorskip("sentence_transformers", reason="needs the extra `models`: pip install -e '.[models]'")

import torch

from annotators import catalog
from annotators.embedding.vectors import SentenceVectors
from annotators.refusals import training
from annotators.refusals.classes import COMPLIANCE, FULL, HELPING, PARTIAL, REFUSING
from annotators.refusals.document import PLACES
from annotators.refusals.examples import load, written
from annotators.refusals.learning import RefusalSchedule, batches, fit
from annotators.refusals.lessons import RefusalLesson, lessons
from annotators.refusals.model import Figures, RefusalCard, TrainedRefusals, open_model
from annotators.refusals.training import Unseen, figures, threshold_of
from annotators.refusals.varying import RefusalVariations, picked, put, thinned
from curation.cli import app
from schemas.errors import DataError


@pytest.fixture(scope="module")
def encoder() -> SentenceVectors:
    return SentenceVectors()


@pytest.fixture
def taught(encoder: SentenceVectors) -> list[RefusalLesson]:
    answers = [
        written("[[I won't forge the note.]] ((Trust matters.))", "full_refusal", "a"),
        written("Peel the beets. Boil them. Add salt. Serve them cold.", "compliance", "b"),
        written("[[I'll skip the forged note.]] Call the office instead. Ask for a day off.", "partial_refusal", "c"),
    ]  # fmt: skip
    return lessons(answers, encoder.tokenizer)


def test_lessons_know_what_each_sentence_does(taught: list[RefusalLesson]) -> None:
    full, help_alone, part = taught
    assert [one.answer_class for one in taught] == [FULL, COMPLIANCE, PARTIAL]
    assert full.does.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert part.does[:, REFUSING].tolist() == [1, 0, 0] and help_alone.does[:, HELPING].all()
    assert full.document.places().shape == (2, PLACES)


def test_a_refusal_put_into_help_stands_where_it_was_put_and_reads_as_it_did(
    taught: list[RefusalLesson], encoder: SentenceVectors
) -> None:
    full, help_alone, _ = taught
    mixed = put(help_alone, (full, [0]), 2, PARTIAL)
    assert mixed.refuses and mixed.answer_class == PARTIAL and mixed.document.size == 5
    assert mixed.does[:, REFUSING].tolist() == [0, 0, 1, 0, 0]
    encoder.for_reading()
    with torch.inference_mode():
        rows = encoder(mixed.document.windows)
    every = torch.cat([rows[window] for window in mixed.document.windows])
    assert mixed.document.kept is not None
    assert torch.equal(every[mixed.document.kept][2], every[len(help_alone.does)])


def test_a_refusal_taken_out_of_a_partial_one_leaves_its_help(taught: list[RefusalLesson]) -> None:
    rest = picked(taught[2], [1, 2])
    assert rest.document.kept == [1, 2] and rest.document.numbers == [0, 1]
    again = picked(rest, [1])
    assert again.document.kept == [2] and again.document.bounds == [taught[2].document.bounds[2]]


def test_no_variation_loses_a_refusal_or_makes_a_class_that_contradicts_its_sentences(
    encoder: SentenceVectors,
) -> None:
    some = lessons([a for a in load("examples")[::40] if a.answer_class != "no_answer"], encoder.tokenizer)
    variations, random = RefusalVariations(some), Random(3)
    for lesson in some * 6:
        told = variations.of(lesson, random)
        refusing = bool((told.does[:, REFUSING] > 0).any())
        assert told.refuses == refusing and len(told.does) == len(told.document.bounds)
        assert told.answer_class != FULL or refusing
        assert told.answer_class != COMPLIANCE or not refusing
        assert (thinned(told, random).does[:, REFUSING] > 0).any() == refusing


@pytest.mark.parametrize("units", [True, False])
def test_half_precision_is_learned_in_only_where_the_machine_is_fast_in_it(
    monkeypatch: pytest.MonkeyPatch, taught: list[RefusalLesson], units: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": units})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    encoder = SentenceVectors()
    assert encoder.fast_half is units
    with encoder.precision():
        assert torch.is_autocast_enabled("cpu") is units
    steps: list[int] = []
    reader = fit(taught[:8], encoder, RefusalSchedule(still=1, tuned=1), steps.append)
    assert sum(steps) == 2 and encoder.reads_half is units
    assert all(scores.isfinite().all() for scores in reader.scores([one.document for one in taught[:8]]))


def test_every_lesson_is_in_one_batch_of_a_pass(taught: list[RefusalLesson]) -> None:
    plan = batches(taught * 20, Random(0))
    assert sum(map(len, plan)) == 60 and max(map(len, plan)) <= 24


def unseen(refuses: bool, *likely: float) -> Iterator[Unseen]:
    for one in likely:
        lesson = RefusalLesson("v", None, torch.zeros(1, 3), FULL if refuses else COMPLIANCE, refuses)  # type: ignore[arg-type]
        yield Unseen(lesson, one)


def test_the_threshold_is_the_lowest_that_flags_few_of_those_that_do_not_refuse() -> None:
    quiet = [*unseen(False, *[0.1] * 57, 0.9, 0.8, 0.7), *unseen(True, 0.95, 0.75, 0.6)]
    assert threshold_of(quiet) == 0.5
    loud = [*unseen(False, *[0.1] * 55, 0.9, 0.8, 0.7, 0.66, 0.65), *unseen(True, 0.95, 0.75, 0.6)]
    assert 0.66 < threshold_of(loud) < 0.67
    assert threshold_of(list(unseen(False, *[0.9999] * 20))) < 1
    found = figures(loud, threshold_of(loud))
    assert (found.answers, found.false_refusals, found.recall, found.precision) == (63, 0.05, 0.6667, 0.4)


def test_a_trained_reader_is_opened_as_it_was_saved_and_a_folder_without_one_is_named(
    taught: list[RefusalLesson], tmp_path: Path
) -> None:
    reader = fit(taught * 8, SentenceVectors(), RefusalSchedule(still=2, tuned=1))
    none = Figures(answers=0, precision=0, recall=0, f1=0, false_refusals=0)
    card = RefusalCard(
        name="own", command="c", examples=3, voices=["a"], threshold=0.5, left_out_voice=none, left_out_voice_at_half=none
    )  # fmt: skip
    model = TrainedRefusals(reader, card)
    model.save(tmp_path)
    answers = ["I won't do that. Ask your doctor.", "", "Boil the beets."]
    before, after = list(model.verdicts(answers)), list(open_model(tmp_path).verdicts(answers))
    for one, other in zip(before, after, strict=True):
        assert (one and one.refusing) == (other and other.refusing)
        assert (
            one is None or other is None or other.probabilities == pytest.approx(one.probabilities, abs=0.01)
        )
    assert re.fullmatch(r"refusals:own-[0-9a-f]{8}@own", catalog.get(f"refusals:{tmp_path}").name)
    assert catalog.get("refusals").name.startswith("refusals@")
    assert before[1] is None and before[0] is not None
    assert sum(before[0].probabilities.values()) == pytest.approx(1)
    with pytest.raises(DataError, match="curate train-refusals"):
        open_model(tmp_path / "nothing")
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(DataError, match="curate train-refusals"):
        open_model(tmp_path)


def test_the_command_trains_measures_and_saves_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: SentenceVectors
) -> None:
    """The whole command, on every sixtieth lesson and with two passes a fit: the real schedule takes half an hour of processor time."""
    few = lessons(
        [one for one in load("examples")[::60] if one.answer_class != "no_answer"], encoder.tokenizer
    )
    monkeypatch.setattr(training, "written_lessons", lambda _: few)
    monkeypatch.setattr(training, "RefusalSchedule", lambda: RefusalSchedule(still=1, tuned=1))
    done = CliRunner().invoke(app, ["train-refusals", "--out", str(tmp_path / "own"), "--json"])
    assert done.exit_code == 0, done.output
    card = open_model(tmp_path / "own").card
    assert json.loads(done.stdout) == json.loads(card.model_dump_json())
    assert card.examples == card.left_out_voice.answers == len(few) > 40 and len(card.voices) > 20
    assert 0.5 <= card.threshold < 1 and card.left_out_voice.false_refusals <= 0.06
    assert len(list(open_model(tmp_path / "own").verdicts(["I won't.", "Boil it."]))) == 2


def test_a_higher_threshold_lowers_what_refuses_and_one_half_is_where_it_begins(
    taught: list[RefusalLesson],
) -> None:
    reader = fit(taught, SentenceVectors(), RefusalSchedule(still=1, tuned=0))
    none = Figures(answers=0, precision=0, recall=0, f1=0, false_refusals=0)
    card = RefusalCard(
        name="own", command="c", examples=3, voices=["a"], threshold=0.5, left_out_voice=none, left_out_voice_at_half=none
    )  # fmt: skip
    [plain] = TrainedRefusals(reader, card).verdicts(["I won't."])
    assert plain is not None
    refuses = plain.probabilities["full_refusal"] + plain.probabilities["partial_refusal"]
    [shifted] = TrainedRefusals(reader, card.model_copy(update={"threshold": refuses})).verdicts(["I won't."])
    assert shifted is not None
    odds = shifted.probabilities["full_refusal"] + shifted.probabilities["partial_refusal"]
    assert odds == pytest.approx(0.5, abs=1e-3)
