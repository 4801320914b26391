"""What a new user does wrong in the first hour, one of each kind, and what the command then says: what, where, and what to do."""

import json
from pathlib import Path

import pytest

from tests.command_line import curate

ROWS = [
    {
        "prompt": f"Question {n}?",
        "reasoning": "Hm.",
        "answer": "No.",
        "kind": "harmful",
        "strategy": "default",
    }
    for n in range(6)
]
RECIPE = "name: m\nparts:\n  safety:\n    where: {where}\n    take: {take}\n"
RECIPES = {
    "good": RECIPE.format(where="kind = 'harmful'", take=3),
    "value": RECIPE.format(where="kind = 'harmful' and strategy = 'defualt'", take=3),
    "quotes": RECIPE.format(where="kind = \"harmful\"", take=3),
    "few": RECIPE.format(where="kind = 'harmful' and not unsafe", take=3),
    "field": RECIPE.format(where="kind = 'harmful'", take=3).replace("take:", "tkae:"),
    "type": RECIPE.format(where="kind = 'harmful'", take="many"),
    "yaml": "name: m\nparts:\n\tsafety: {where: 'true'}\n",
    "column": RECIPE.format(where="'true'", take=3) + "    stratify_by: [categry]\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a mix, recipes of which most are wrong, and a folder of something else."""
    folder = tmp_path_factory.mktemp("first-hour")
    (folder / "traces.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    for name, text in RECIPES.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "other").mkdir()
    (folder / "other" / "thesis.txt").write_text("mine")
    assert curate("ingest", "traces.jsonl", cwd=folder).returncode == 0
    assert curate("annotate", cwd=folder).returncode == 0
    assert curate("build-mix", "good.yaml", "--out", "mix", cwd=folder).returncode == 0
    return folder


MISTAKES = {
    "a command misspelled": ("annotat", 2, ["Did you mean", "annotate"]),
    "an option misspelled": ("annotate --anotators rules", 2, ["--annotators"]),
    "a needed option left out": ("build-mix good.yaml", 2, ["--out"]),
    "a choice that is none": ("ingest traces.jsonl --kind harmfull", 2, ["'harmful', 'benign', 'math'"]),
    "an annotator misspelled": ("annotate --annotators rulez", 2, ["did you mean 'rules'?"]),
    "a strategy misspelled": ("generate --strategies improvd", 2, ["did you mean 'improved'?"]),
    "a shipped recipe misspelled": (
        "build-mix study-improvd --out x",
        2,
        ["did you mean 'study-improved'?"],
    ),
    "a labeller misspelled": ("agree --annotators rulez", 2, ["did you mean 'rules'?", "there are|annotators of these"]),
    "a number out of bounds": ("annotate --samples 100", 2, ["samples: write 25 or less (got 100)"]),
    "a file that is not there": ("ingest nothing.jsonl", 1, ["nothing.jsonl", "no such file|not found|cannot be read"]),
    "a corpus that is not there": ("status --corpus nowhere", 1, ["not a corpus; create one with: curate ingest"]),
    "a column misspelled": (["sql", "select stratgy from traces"], 1, ["there is no column 'stratgy'; did you mean 'strategy'?"]),
    "a table misspelled": (["sql", "select * from trace"], 1, ["there is no table 'trace'; did you mean 'traces'?"]),
    "text in double quotes": ("plan quotes.yaml", 1, ["quotes.yaml:4", "text stands in single quotes: 'harmful'"]),
    "a query that writes": (["sql", "delete from traces"], 1, ["the corpus is read-only"]),
    "a field of a recipe misspelled": ("plan field.yaml", 1, ["field.yaml:5", "did you mean 'take'?"]),
    "a value of the wrong type": ("plan type.yaml", 1, ["type.yaml:5: parts.safety.take: write a whole number, a number or 'all'"]),
    "a tab in YAML": ("plan yaml.yaml", 1, ["yaml.yaml:3: not valid YAML"]),
    "a column of strata misspelled": ("plan column.yaml", 1, ["no column 'categry' in candidates; did you mean 'category'?"]),
    "a value that no row has": ("build-mix value.yaml --out x", 1, ["0 strategy = 'defualt'; there are: strategy: 'default' 6; did you mean 'default'?"]),
    "a label that nobody gave": ("build-mix few.yaml --out x", 1, ["unsafe: null 6", "`curate annotate --annotators guard:qwen3guard"]),
    "the study without a guard": ("build-mix study-default --out x", 1, ["unsafe: null", "study-unfiltered"]),
    "a folder that is something else": ("build-mix good.yaml --out other", 1, ["other: the folder is not empty and not a mix"]),
    "a file where a folder is meant": ("export mix --format hf --out x.jsonl", 2, ["--out x, or leave out --format hf"]),
    "a folder where a file is meant": ("export mix --out other", 1, ["other: a folder of this name is in the way; name a file"]),
    "a folder that is no mix": ("diff mix other", 1, ["other: not a mix"]),
    "an id that is none": ("why 12345", 1, ["12345: no trace, row or quarantined row with this id"]),
    "a model left out": ("generate", 1, ["no model; name a folder or a hub name with --model"]),
    "people asked too early": ("calibrate", 1, ["no trace is labelled by people", "curate review push"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_what_to_do(place: Path, mistake: str) -> None:
    words, code, told = MISTAKES[mistake]
    done = curate(*(words.split() if isinstance(words, str) else words), cwd=place, COLUMNS="200")
    said = " ".join(done.stderr.replace("│", " ").split())  # usage errors stand in a box
    assert done.returncode == code, said
    for fragment in told:
        assert any(one in said for one in fragment.split("|")), (fragment, said)
    assert "Traceback" not in said and not (place / "x").exists()


def test_the_mistakes_are_of_twenty_kinds_and_more() -> None:
    assert len(MISTAKES) == len({str(words) for words, _, _ in MISTAKES.values()}) >= 20
