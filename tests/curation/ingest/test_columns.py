"""Rows that are read in columns give the corpus that they give one by one: the same bytes, ids, counts and quarantine."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.ingest import columns, lines, parts
from curation.ingest.stage import IngestRecipe, run
from schemas.errors import DataError

Row = dict[str, Any]
WORDS = [
    "alpha", "the", "beta gamma", "ünïcode", "漢字", "🙂", "\\frac{1}{2}", "x<y", "a[0]", "{k}", '"quoted"', "back\\slash", "tab\t",
    "line\n", "&", "assistantfinal", "Thinking", "Here", "</think>", "<tool_call>",
]  # fmt: skip
ODD = [
    None, "", "  ", 5, 1.5, True, ["a"], {"a": "b"}, "nul\0", 10**25, "x" * 300, "ab" * 400, "<think>", "</think>b", float("nan"), [],
    {"a": 1, "b": [{"c": 'd"'}]}, "\ud800",
]  # fmt: skip
RECIPES: list[Row] = [
    {},
    {"kind": "harmful", "source": "named"},
    {"constants": {"strategy": "default", "category": "c"}},
    {"filters": {"strategy": "default"}},
]


def text(rng: random.Random, most: int = 8) -> str:
    return " ".join(rng.choices(WORDS[:-2] if rng.random() < 0.9 else WORDS, k=rng.randint(1, most)))


def trace(rng: random.Random) -> Row:
    row: Row = {
        "id": rng.choice(["a", 7]),
        "prompt": text(rng),
        "reasoning": text(rng),
        "answer": "So " + text(rng),
    }
    beside: dict[str, list[Any]] = {
        "strategy": ["default", None],
        "category": ["a", ["a", "b"], [], None],
        "finish_reason": ["stop", "length", "", None, {"type": "eos"}],
        "kind": ["harmful", "benign", "nope", None],
        "score": [{"x": 1.5, "y": [1, 2]}],
        "prompt_tokens": [5, -1, "7", 2**40, None],
        "sampling": [{"t": 0.5}, "greedy"],
        "reference_answer": [4, "4"],
        "done": [True, False],
        "source_id": ["b"],
    }
    return row | {name: rng.choice(values) for name, values in beside.items() if rng.random() < 0.15}


def response(rng: random.Random) -> Row:
    forms = [
        "<think>\n{}\n</think>\n\n{}",
        "{}</think>{}",
        "<think>{}{}",
        "<think>{}</think><answer>{}</answer>",
        "{} {}",
    ]
    row = {
        "prompt": text(rng),
        "response": rng.choice(forms[:2] if rng.random() < 0.8 else forms).format(text(rng), text(rng)),
    }
    return row | ({"data_type": rng.choice(["safety", "x", None])} if rng.random() < 0.2 else {})


def instruction(rng: random.Random) -> Row:
    row = {"instruction": text(rng), "response": f"<think>{text(rng)}</think>{text(rng)}"}
    return row | ({"label": rng.choice(["vanilla_harmful", "x", None])} if rng.random() < 0.2 else {})


def chat(rng: random.Random) -> Row:
    turns = [{"role": "user", "content": text(rng)}]
    if rng.random() < 0.8:
        turns.append({"role": "assistant", "content": f"<think>{text(rng)}</think>{text(rng)}"})
    return {"messages": turns}


def prompt(rng: random.Random) -> Row:
    return {"prompt": text(rng)} | ({"kind": rng.choice(["math", "nope"])} if rng.random() < 0.2 else {})


def written(rng: random.Random, make: Callable[[random.Random], Row], rows: int, odd: float) -> bytes:
    """JSONL in which some rows come again, and a share is odd or broken in one of many ways."""
    told = [json.dumps(make(rng)).encode()]
    for _ in range(rows):
        row = make(rng)
        if rng.random() < odd:
            row[rng.choice(list(row))] = rng.choice(ODD)
        line = json.dumps(row, ensure_ascii=rng.random() < 0.3).encode("utf-8", "surrogatepass")
        broken = [line[:-3], b"", b"  ", b"[1,2]", line[:-1] + b',"prompt":"x"}', line + b"," + line, b"\xff" + line, line.replace(b":", b":\n", 1)]  # fmt: skip
        told.append(
            rng.choice(broken) if rng.random() < odd / 2 else rng.choice([line, line, line, *told[-1:]])
        )
    return b"\n".join(told)


def corpus(folder: Path, files: list[Path], recipe: dict[str, Any]) -> dict[str, bytes]:
    """Every byte that an ingest writes, twice over: a rerun compares what it finds."""
    for _ in range(2):
        run(folder, [str(file) for file in files], IngestRecipe.model_validate(recipe))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.*"))
        if path.is_file()
    }


def both(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[Path],
    recipe: dict[str, Any],
    part: int = 20_000,
) -> dict[str, bytes]:
    """The corpus of the columns' path, in parts of so many bytes, after a comparison with that of the rows' path."""
    monkeypatch.setattr(parts, "PART_SIZE", part)
    together = corpus(tmp_path / "together", files, recipe)
    with monkeypatch.context() as apart:
        apart.setattr(lines, "FEW", 10**9)
        assert corpus(tmp_path / "apart", files, recipe) == together
    return together


@pytest.mark.parametrize("make", [trace, response, instruction, chat, prompt])
@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_odd_rows_among_others_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[random.Random], Row], number: int
) -> None:
    rng = random.Random(number)
    files = [tmp_path / "clean.jsonl", tmp_path / "odd.jsonl"]
    for file, odd in zip(files, (0, 0.2), strict=True):
        file.write_bytes(written(rng, make, 150, odd))
    found = both(tmp_path, monkeypatch, files, RECIPES[number])
    assert any(name.startswith("quarantine") for name in found)


def test_rows_without_any_column_are_set_aside_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"prompt": "Which?", "reasoning": "It is\nthis.", "answer": "This."}
    (tmp_path / "empty.jsonl").write_text(f"{json.dumps(row)}\n" + "{}\n" * 20)
    found = both(tmp_path, monkeypatch, [tmp_path / "empty.jsonl"], {})
    assert any(name.startswith("traces") for name in found) and any(n.startswith("quarantine") for n in found)


def test_ordinary_rows_are_read_in_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    ours = columns.read_columns

    def counted(*given: Any) -> Any:
        found = ours(*given)
        read.append(len(found.places) if found else 0)
        return found

    monkeypatch.setattr(lines, "read_columns", counted)
    rows = [
        {"prompt": f"Which is {n}?", "reasoning": f"It is\n{n}.", "answer": f"The {n}."} for n in range(500)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for name in ("rows.jsonl", "rows.parquet"):
        read.clear()
        run(tmp_path / name.replace(".", "-"), [str(tmp_path / name)], IngestRecipe())
        assert sum(read) == 500


def test_parquet_is_read_in_columns_as_it_is_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(2)
    rows = [
        {"id": f"{n}", "prompt": text(rng), "reasoning": text(rng), "answer": "So " + text(rng), "n": n}
        for n in range(400)
    ]
    rows[7]["prompt"], rows[9]["answer"] = "", None
    told = pa.Table.from_pylist(rows)
    nested = told.append_column("tags", pa.array([["a"] * (n % 3) for n in range(400)]))
    files = [tmp_path / "flat.parquet", tmp_path / "nested.parquet"]
    for file, table in zip(files, (told, nested), strict=True):
        pq.write_table(table, file, row_group_size=150)
    found = both(tmp_path, monkeypatch, files, {})
    assert sum(name.startswith("traces") for name in found) >= 1


def test_real_files_and_reported_cases_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    cases = sorted((shared_data.parent / "cases").glob("*/in.jsonl"))
    read = 0
    for number, file in enumerate([shared_data / "star1.json", shared_data / "sft_train_nocot.json", *cases]):
        (tmp_path / str(number)).mkdir()
        try:
            both(tmp_path / str(number), monkeypatch, [file], {}, part=200_000)
        except DataError:  # outputs without their requests, and the like
            continue
        read += 1
    assert read > 10
