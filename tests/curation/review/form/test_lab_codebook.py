"""A codebook of twenty entries goes the whole way: file, judge, Argilla, agreement, mix, scores, report. No line of Python names an entry."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from annotators.base import Failure
from annotators.judge.judge import llm_judge
from annotators.judge.rubric import generated
from curation.annotate.asking import EngineModel
from curation.annotate.judging import to_traces
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.engines.settings import EngineSettings
from curation.mix.folder import read_rows
from curation.review import dataset as datasets
from curation.review.client import Client
from schemas.annotation import Annotation
from schemas.codebooks import Codebook, Pattern
from schemas.trace import Trace
from sft.cli import app
from tests.command_line import curate
from tests.curation.review.conftest import Person
from tests.curation.review.form.conftest import shown
from tests.short_replies import ShortReplies

ROOT = Path(__file__).resolve().parents[4]
ROUND = "desk-round"


def ran(*command: object, cwd: Path) -> str:
    done = curate(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sure(entry: Pattern, values: dict[str, Any], there: bool, lower: bool) -> None:
    """Answer the question of a graded entry: its highest or lowest value, or one step less than the highest."""
    places = (
        list(range(len(entry.levels)))
        if entry.levels
        else [entry.lowest, (entry.lowest + entry.highest) / 2, entry.highest]
    )
    value = places[0] if not there else places[-2 if lower else -1]
    whole = entry.range and entry.lowest >= 0 and 1 < entry.highest <= 10
    values[f"value-{entry.name}"] = str(value) if entry.levels else round(value) if whole else f"{value:g}"


def answers(book: Codebook, record: dict[str, Any], *, lower: bool, open_left: str) -> dict[str, Any]:
    """What a person says of a record: what its texts show, with the words marked."""
    texts = record["fields"]
    values: dict[str, Any] = {"verdict": "keep"}
    ticked, marks = [], {"reasoning": [], "answer": []}
    for name, entry in book.entries.items():
        field, words = shown(entry)
        text = texts["prompt" if field == "Query" else field.lower()]
        there = words in text
        if there and field != "Query" and name != open_left:
            at = text.index(words)
            marks[field.lower()].append({"start": at, "end": at + len(words), "label": name})
        if not entry.graded:
            ticked += [name] * there
        elif name != open_left:
            sure(entry, values, there, lower)
    return values | {
        "patterns": ticked or ["none"],
        "reasoning_spans": marks["reasoning"],
        "answer_spans": marks["answer"],
    }


def test_a_labs_codebook_goes_from_its_file_to_people_a_mix_scores_and_a_report(
    desk: Path, stub_url: str, book: Codebook, client: Client, people: dict[str, Person]
) -> None:
    where = ("--model", "stub", "--base-url", stub_url)
    ran("annotate", "--annotators", f"codebook:{book.name}", *where, cwd=desk)
    corpus = Store(desk / "corpus")
    graded = [entry for entry in book.entries.values() if entry.graded]
    assert len(book.entries) == 20 and len(graded) == 13

    server = ("--round", ROUND, "--url", client.url, "--api-key", client.sdk.api_key)
    ran(
        "review",
        "push",
        "--codebook",
        book.name,
        "--reviewers",
        "ann,bob",
        "--blind",
        0,
        "--audit",
        1,
        *server,
        cwd=desk,
    )
    dataset = datasets.find(client, ROUND)
    assert dataset is not None
    asked = {one["name"]: one for one in client.request("GET", f"datasets/{dataset.id}/questions")["items"]}
    assert set(asked) == {"patterns", "verdict", "reasoning_spans", "answer_spans", "comment"} | {
        f"value-{e.name}" for e in graded
    }
    for entry in graded:
        assert asked[f"value-{entry.name}"]["description"].startswith(entry.definition)
        kind = asked[f"value-{entry.name}"]["settings"]["type"]
        assert kind == "label_selection" if entry.levels else kind in ("rating", "text")
    for field in ("reasoning", "answer"):
        labels = {option["value"] for option in asked[f"{field}_spans"]["settings"]["options"]}
        assert labels == {e.name for e in book.entries.values() if e.judged_on in (field, "both")}
    guidelines = client.request("GET", f"datasets/{dataset.id}")["guidelines"]
    assert (
        all(entry.definition in guidelines for entry in book.entries.values())
        and "not what the visitor wants" in guidelines
    )

    records = list(client.pages(f"datasets/{dataset.id}/records", 100, include="suggestions"))
    ids = {dataset.questions[name]: name for name in asked}
    given = {
        record["external_id"]: {ids[one["question_id"]]: one["value"] for one in record["suggestions"]}
        for record in records
    }
    open_left = graded[-1].name
    for name, lower in (("ann", False), ("bob", True)):
        for record in records:
            people[name].respond(record["id"], answers(book, record, lower=lower, open_left=open_left))
    told = answers(book, records[0], lower=False, open_left="")
    assert {key: given[records[0]["external_id"]][key] for key in given[records[0]["external_id"]]} == {
        key: value for key, value in told.items() if key != "verdict"
    }, "the judge's verdicts are suggested in the form of an answer"

    pulled = json.loads(ran("review", "pull", *server, "--json", cwd=desk))
    assert pulled["counts"]["kept"] == 20 and pulled["summary"]["new_annotations"] == 20 * 20
    assert pulled["summary"]["contradicting_themselves"] == 0, pulled["summary"]["contradictions"]
    for entry in book.entries.values():
        query = "select label, score, spans, reasoning, answer, prompt from annotations join traces using (trace_id) where pattern = $name and annotator = 'human:ann'"
        rows = select(connect(corpus), query, {"name": entry.name}).to_pylist()
        assert len(rows) == 10
        for row in rows:
            field, words = shown(entry)
            there = words in row["prompt" if field == "Query" else field.lower()]
            assert row["label"] is (None if entry.name == open_left else there)
            assert row["score"] == (float(there) if entry.graded and entry.name != open_left else None)
            cut = [row[span["field"]][span["start"] : span["end"]] for span in row["spans"] or ()]
            assert cut == ([words] if row["label"] and field != "Query" else [])
    ran("review", "status", "--round", ROUND, cwd=desk)

    agreed = json.loads(
        ran("agree", "--patterns", book.name, "--annotators", "human:ann,human:bob", "--json", cwd=desk)
    )
    assert set(agreed) == set(book.entries)
    alphas = {entry.name: agreed[entry.name]["alpha"]["value"] for entry in book.entries.values()}
    assert all(alphas[name] == 1 for name, entry in book.entries.items() if not entry.graded)
    assert all(0 < alphas[entry.name] < 1 for entry in graded if entry.name != open_left), (
        "one step less is nearly the same"
    )
    assert alphas[open_left] is None

    severe = next(entry for entry in graded if entry.levels)
    mix = {
        "name": "one",
        "parts": {
            "all": {
                "where": f"{severe.name} >= {severe.threshold:g} and not coalesce({next(iter(book.combined))}, false)"
            }
        },
    }
    (desk / "mix.yaml").write_text(json.dumps(mix))
    ran("build-mix", "mix.yaml", "--out", "mix", cwd=desk)
    [answer] = read_rows(desk / "mix", ["answer"])["answer"].to_pylist()
    assert shown(severe).words in answer

    suite = {
        "name": "desk",
        "title": "Desk",
        "source": "rows.jsonl",
        "kinds": ["benign"],
        "measures": ["refuses"],
        "headline": [severe.name],
        "codebook": book.name,
    }
    (desk / "desk.yaml").write_text(json.dumps(suite))
    scored = CliRunner().invoke(
        app,
        ["score", "stub", "--base-url", stub_url, "--corpus", str(desk / "corpus"), "--suite", str(desk / "desk.yaml"), "--judge",
         f"codebook:{book.name}", "--judge-model", "stub", "--judge-url", stub_url, "--json"],
    )  # fmt: skip
    assert scored.exit_code == 0, (scored.output, scored.exception)
    rates = {
        rate["measure"]: (rate["k"], rate["n"]) for rate in json.loads(scored.stdout)["suites"][0]["rates"]
    }
    assert rates[severe.name] == (10, 10) and rates[graded[1].name] == (0, 10)

    ran("report", "--out", "page.html", cwd=desk)
    page = (desk / "page.html").read_text()
    assert f"Codebook {book.name}" in page and all(
        entry.name.replace("_", " ") in page for entry in book.entries.values()
    )


def test_no_line_of_python_or_sql_names_an_entry(book: Codebook) -> None:
    code = [f for f in ROOT.glob("[a-z]*/**/*") if f.suffix in (".py", ".sql", ".jinja", ".html")]
    assert len(code) > 500
    assert not [f for f in code if any(name in f.read_text(encoding="utf-8") for name in book.columns)]


@pytest.mark.slow
def test_a_real_small_model_is_asked_about_every_entry_and_what_it_does_not_say_is_null(
    desk: Path, smollm2: Path, book: Codebook
) -> None:
    traces = to_traces(next(Store(desk / "corpus").scan("traces", tuple(Trace.model_fields))))[:1]
    short = ShortReplies(EngineModel(EngineSettings(model=str(smollm2), kind="transformers")))
    made = list(llm_judge(short, rubric=generated(book)).annotate(traces))
    assert short.asked and all(entry in short.asked[0] for entry in book.entries)
    said = [one for one in made if isinstance(one, Annotation)]
    failed = [one for one in made if isinstance(one, Failure)]
    assert len(said) == 20 * (1 - len(failed)), (
        "a reply that cannot be read is a failure, any other names every entry"
    )
    assert not any(
        one.label for one in said if not one.spans and book.entries[one.pattern].judged_on != "prompt"
    )
