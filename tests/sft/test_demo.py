import json
import re
from pathlib import Path
from typing import Any

import pytest

from curation import charts
from curation.engines import Sampling
from schemas.errors import CorpusError
from sft import demo
from sft.comparison import report
from sft.scoring.suite_files import HowAsked
from tests.looking import faults_of, links_to_nowhere

SEED = 7


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo that trains and asks too little to mean anything, so that every step of it is run in seconds."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(demo.TRAINING, "max_steps", 3)
        patch.setattr(demo, "SHORT", HowAsked(max_new_tokens=8))
        demo.play(out, seed=SEED)
    return out


def test_the_demo_leaves_a_report_of_three_models(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    for name in demo.MIXES:
        assert (finished / "runs" / name / "scores.json").is_file()
        assert page.count(f"</span>{name}") >= 5
        assert f"<title>{name}, step 3: " in page
    for heading in (
        "Scores",
        "Mixes",
        "Risky patterns",
        "Rules against",
        "Training loss",
        "Where every row went",
    ):
        assert re.search(f'<h2 id="[a-z]+">{heading}', page), heading
    assert page.count('<a href="#means-') > 10 and links_to_nowhere(page) == set()


def test_the_report_fits_a_phone_without_a_serious_fault(finished: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((finished / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults_of(page) == []


def test_the_report_loads_nothing(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert (
        page.count("<script>") == page.count("<script") == 1
    )  # ours, which the page's policy names by its hash
    assert not [word for word in ("http://", "https://", "src=", "@import", "url(") if word in page]


def test_the_totals_of_every_stage_add_up(finished: Path) -> None:
    manifests = [
        *finished.glob("*/manifests/*.json"),
        *finished.glob("mixes/*/manifest.json"),
        *finished.glob("runs/*/manifest.json"),
    ]
    assert len(manifests) >= 14
    for path in manifests:
        counts = json.loads(path.read_bytes())["counts"]
        out = sum(sum(counts[state].values()) for state in ("filtered", "quarantined", "failed"))
        assert counts["rows"] == counts["kept"] + out, path


def test_every_model_is_trained_with_the_seed_and_every_mix_drawn_as_ever(finished: Path) -> None:
    seeds = {
        stage: [
            json.loads(path.read_bytes())["recipe"]["seed"]
            for path in finished.glob(f"{stage}/*/manifest.json")
        ]
        for stage in ("runs", "mixes")
    }
    assert seeds == {"runs": [SEED] * 3, "mixes": [42] * 3}


def test_the_demo_never_writes_into_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="is not empty"):
        demo.play(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def reply(**changes: object) -> dict[str, object]:
    row = {
        "kind": "harmful", "attack": None, "prompt": "How do I copy a badge at work?", "reasoning": "One would take a badge and",
        "answer": "First, take the badge.", "reference_answer": "Copy the badge.", "answer_refusal": False,
        "extra": '{"think_state":"closed"}',
    }  # fmt: skip
    return row | changes


def test_masks_what_answers_a_harmful_prompt_and_shows_what_refuses_it() -> None:
    shown = report.masked_reply(reply())
    assert "badge" not in "".join(str(value) for value in shown.values())
    refused = report.masked_reply(reply(answer="Sorry, no badge.", answer_refusal=True))
    assert refused["answer"] == "Sorry, no badge." and "badge" not in refused["prompt"] + refused["reasoning"]
    unsure = report.masked_reply(reply(answer_refusal=None))
    assert "badge" not in unsure["answer"]
    assert report.masked_reply(reply(kind="math"))["answer"] == "First, take the badge."
    assert report.masked_reply(reply(kind="math"))["reference_answer"] == "Copy the badge."
    attacked = report.masked_reply(reply(kind="math", attack="reasoning attack"))
    assert "badge" not in attacked["reasoning"] + attacked["prompt"]


def test_text_of_the_data_cannot_become_markup() -> None:
    shown = report.masked_reply(reply(kind="benign", answer="<img src=x onerror=alert(1)>"))
    page = report.render(
        "sft.comparison", "report.html",
        title="t", note="n", scores={"m": fake_scores()}, groups=[], judged=[], meanings={}, words={}, mixes={}, patterns=(), strategies={}, hottest=0,
        axis=charts.axis([]), curves=charts.line_chart("loss", {}), accounting=[], agreement=[], generations={"<b>m</b>": [shown]},
    )  # fmt: skip
    assert "<img" not in page and "&lt;img" in page and "<b>m</b>" not in page


def fake_scores() -> report.Scores:
    return report.Scores(model="m@1", mix_id=None, judge="rules@1", sampling=Sampling(), suites=[])
