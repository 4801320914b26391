"""`curate show` and what `curate why` tells first: found patterns with their words, masked, in 80 columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from tests.command_line import curate

MARKED = "Cut the sprocket"


@pytest.fixture
def marked(corpus: Store, tmp_path: Path) -> Path:
    """Two traces; in the first a judge sees a pattern and marks words, and the rules see another and mark none."""
    rows: list[dict[str, Any]] = [
        {
            "trace_id": f"aa{n}", "prompt_id": "p", "prompt": "How do I cut a sprocket?\u202e", "kind": "harmful", "strategy": "default",
            "reasoning": f"{MARKED} first. " + "Then wait for the paint. " * 40, "answer": "No.", "sample_index": 0, "source_id": f"row-{n}",
        }
        for n in range(2)
    ]  # fmt: skip
    corpus.append_rows("traces", rows)
    span = {"field": "reasoning", "start": 0, "end": len(MARKED)}
    corpus.append_rows(
        "annotations",
        [
            {"trace_id": "aa0", "pattern": "harmful_additions", "annotator": "judge:j@1", "label": True, "score": 0.9, "spans": [span], "rationale": "x"},
            {"trace_id": "aa0", "pattern": "weak_vacillation", "annotator": "rules@1", "label": True},
            {"trace_id": "aa0", "pattern": "inconsistency", "annotator": "rules@1", "label": False},
        ],
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("command", [("show", "aa0"), ("why", "row-0"), ("show", "aa0", "--all")])
def test_found_patterns_come_first_with_their_words_masked_in_80_columns(
    marked: Path, command: tuple[str, ...]
) -> None:
    done = curate(*command, "--corpus", "corpus", cwd=marked)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and max(map(len, lines)) <= 80
    assert lines[0] == "trace aa0" and lines[2:4] == ["weak_vacillation", "  rules@1: no words marked"]
    assert lines[4:7] == ["harmful_additions", "  judge:j@1 (0.90)", "    reasoning: “▒▒▒ the ▒▒▒▒▒▒▒▒”"]
    assert "sprocket" not in done.stdout and "\u202e" not in done.stdout
    shown = curate(*command, "--corpus", "corpus", "--show", cwd=marked).stdout
    assert f"reasoning: “{MARKED}”" in shown and "\u202e" not in shown


def test_the_rest_is_behind_all(marked: Path) -> None:
    short, whole = (
        curate("show", "aa0", "--corpus", "corpus", *more, cwd=marked).stdout for more in ([], ["--all"])
    )
    assert "inconsistency" not in short and "inconsistency: rules@1 absent" in whole
    assert "source_id: row-0" in whole and len(whole) > 2 * len(short)
    why = [curate("why", "aa0", "--corpus", "corpus", *more, cwd=marked).stdout for more in ([], ["--all"])]
    assert "source_id" not in why[0] and "row-0" in why[1] and "annotations" in why[1]


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(marked: Path) -> None:
    assert "trace aa1\n" in curate("show", "aa1", "--corpus", "corpus", cwd=marked).stdout
    several = curate("show", "aa", "--corpus", "corpus", cwd=marked)
    assert (
        several.returncode == 1
        and "several traces have such an id: aa0, aa1; give more of it" in several.stderr
    )
    assert "no trace in corpus has an id" in curate("show", "b%", "--corpus", "corpus", cwd=marked).stderr
    assert curate("show", "", "--corpus", "corpus", cwd=marked).returncode == 1


def test_traces_are_drawn_by_a_seed_from_those_that_meet_a_condition(marked: Path) -> None:
    def ids(*more: str) -> list[str]:
        done = curate("show", "--json", "--corpus", "corpus", *more, cwd=marked)
        return [trace["origin"]["trace_id"] for trace in json.loads(done.stdout)]

    assert ids("--where", "harmful_additions") == ["aa0"]
    assert sorted(ids()) == ["aa0", "aa1"] and ids() == ids()
    assert {tuple(ids("--sample", "1", "--seed", str(seed))) for seed in range(8)} == {("aa0",), ("aa1",)}
    nothing = curate("show", "--where", "false", "--corpus", "corpus", cwd=marked)
    assert nothing.returncode == 1 and "no trace meets the condition: false" in nothing.stderr
    hostile = curate("show", "--where", "read_text('/etc/passwd') is null", "--corpus", "corpus", cwd=marked)
    assert hostile.returncode == 1 and "read_text" in hostile.stderr
