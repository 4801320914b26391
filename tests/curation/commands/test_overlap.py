import json

from typer.testing import CliRunner

from curation.cli import app
from curation.corpus.store import Store


def test_dedup_clusters_answers_to_one_prompt_that_are_the_same(corpus: Store) -> None:
    words = "One may ask the council for a permit, wait for the letter, and put it behind the glass."
    rows = [
        ("a", words),
        ("b", words + " "),
        ("c", "Something else entirely is said here about the weather of today."),
    ]
    corpus.append_rows(
        "prompts", [{"prompt_id": "p", "text": "How do I get a parking permit?", "kind": "benign"}]
    )
    corpus.append_rows(
        "traces",
        [
            {"trace_id": i, "prompt_id": "p", "prompt": "How do I get a parking permit?", "reasoning": "", "answer": answer, "sample_index": 0}
            for i, answer in rows
        ],
    )  # fmt: skip
    done = CliRunner().invoke(app, ["dedup", "--corpus", str(corpus.root), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["counts"]["filtered"] == {"duplicate": 1}
