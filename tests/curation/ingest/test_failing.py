"""An ingest that cannot go on: what it says, and that nothing half done is left."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.ingest import parts
from curation.ingest.stage import run
from schemas.errors import CorpusError, DataError, RecipeError
from tests.curation.ingest.files import ROOT, ingest, jsonl, recipe, table, tables, trace, verdict


def fails(corpus: Path, *files: Path, **options: Any) -> str:
    with pytest.raises((DataError, RecipeError, CorpusError)) as error:
        run(corpus, [str(file) for file in files], recipe(**options))
    return str(error.value)


def test_every_unreadable_file_is_named_before_anything_is_written(tmp_path: Path) -> None:
    good, empty = jsonl(tmp_path / "good.jsonl", trace(1)), jsonl(tmp_path / "empty.jsonl")
    message = fails(tmp_path / "c", good, empty, tmp_path / "nowhere.jsonl", tmp_path)
    assert "empty.jsonl: the file is empty" in message
    assert "nowhere.jsonl: no such file" in message
    assert "a folder, but not one that `datasets` saved" in message
    assert not (tmp_path / "c").exists()


def test_undetectable_columns_are_listed_with_the_way_out(tmp_path: Path) -> None:
    message = fails(tmp_path / "c", jsonl(tmp_path / "a.jsonl", {"left": "a", "right": "b"}))
    assert "a.jsonl: no supported format has these columns: left, right" in message
    assert "--map prompt=COLUMN --map response=COLUMN" in message


def test_a_mapped_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    message = fails(
        tmp_path / "c", jsonl(tmp_path / "a.jsonl", {"q": "a", "r": "b"}), map=["prompt=qq", "response=r"]
    )
    assert message == "a.jsonl: no column 'qq' for --map; the columns are: q, r"


def test_a_map_reads_what_no_format_knows(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"q": "Why?", "r": "<think>x</think>y"})
    assert ingest(tmp_path / "c", file, map=["prompt=q", "response=r"]).counts.kept == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "excel"}, ["--format excel: unknown", "star1", "sharegpt", "alpaca"]),
        ({"kind": "evil"}, ["kind: write 'harmful', 'benign', 'math' or 'code'"]),
        ({"format": "x", "set": "y"}, ["--format x", "--set y"]),
        ({"map": ["prompt"]}, ["--map prompt: write it as field=column"]),
        ({"map": ["prompt="]}, ["--map prompt=: write it as field=column"]),
        ({"map": ["question=q", "prompt=p"]}, ["--map question: unknown field", "response"]),
        ({"map": ["response=r"]}, ["add --map prompt=COLUMN"]),
        ({"map": ["prompt=a", "response=a"]}, ["one column is named for two fields"]),
        ({"map": ["prompt=a", "prompt=b"]}, ["--map prompt: given twice"]),
        ({"map": ["prompt=a", "answer=b"]}, ["reasoning and answer need each other"]),
        ({"map": ["prompt=a", "response=b", "answer=c"]}, ["map either it or those two"]),
        ({"map": ["prompt=a"], "format": "star1"}, ["use one of them"]),
    ],
)
def test_wrong_options_are_all_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        recipe(**options)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_file_given_twice_and_one_without_objects_are_refused(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", trace(1))
    assert "a.jsonl: given twice; name it once" in fails(tmp_path / "c", file, file)
    assert "name it .csv or .tsv" in fails(tmp_path / "c", jsonl(tmp_path / "b.txt", "a,b", "1,2"))
    (tmp_path / "e.json").write_text("[]")
    assert "no rows" in fails(tmp_path / "c", tmp_path / "e.json")


def test_a_path_through_a_file_says_so(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", trace(1))
    assert "a part of this path is a file, not a folder; choose another folder" in fails(file / "c", file)


def test_a_read_only_folder_says_so() -> None:
    code = (
        "import os, sys; from pathlib import Path; from curation.ingest.stage import IngestRecipe, run\n"
        "if os.geteuid() == 0: os.setuid(65534)  # root may write anywhere\n"
        "run(Path(sys.argv[1]), [sys.argv[2]], IngestRecipe())"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = jsonl(Path(folder) / "a.jsonl", trace(1))
        Path(folder, "locked").mkdir()
        Path(folder, "locked").chmod(0o555)
        Path(folder).chmod(0o755)
        for corpus in ("locked/c", "locked"):
            command = [sys.executable, "-c", code, str(Path(folder, corpus)), str(file)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            assert "CorpusError" in done.stderr
            assert "no permission to write here; choose another folder or change its mode" in done.stderr


def test_a_full_disk_says_so_and_the_next_run_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path / "a.jsonl", *(trace(n) for n in range(50)), trace(99, answer=""))
    monkeypatch.setattr(parts, "PART_SIZE", 5000)
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = fails(tmp_path / "c", file)
    assert "the disk is full; free some space and run the same command again" in message
    monkeypatch.setattr(os, "fsync", fsync)
    assert not list((tmp_path / "c").rglob(".tmp-*"))
    ingest(tmp_path / "c", file)
    ingest(tmp_path / "whole", file)
    assert tables(tmp_path / "c") == tables(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="limits a real file's size the Linux way")
def test_a_write_that_really_fails_leaves_no_half_part(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", *(trace(n, answer=random.Random(n).randbytes(3000).hex()) for n in range(60))
    )
    code = (
        "import resource, signal, sys; from pathlib import Path; from curation.ingest.stage import IngestRecipe, run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))\n"
        "run(Path(sys.argv[1]), [sys.argv[2]], IngestRecipe())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c"), str(file)], capture_output=True, text=True, cwd=ROOT
    )
    assert "schemas.errors.CorpusError" in done.stderr
    assert not Store(tmp_path / "c").parts("traces")
    assert not list((tmp_path / "c").rglob(".tmp-*"))
    assert ingest(tmp_path / "c", file).counts.kept == 60


INGEST = (
    "import sys; from pathlib import Path; from curation.ingest import parts; parts.PART_SIZE = 20_000\n"
    "from curation.ingest.stage import IngestRecipe, run; print('ready', flush=True)\n"
    "run(Path(sys.argv[1]), sys.argv[2:], IngestRecipe())"
)


def work_on(process: "subprocess.Popen[str]", seconds: float) -> None:
    """Let a process use so many more processor seconds; a busy machine takes longer for them."""
    stat, ticks = Path(f"/proc/{process.pid}/stat"), os.sysconf("SC_CLK_TCK")

    def used() -> float:
        return sum(map(int, stat.read_text().rsplit(") ", 1)[1].split()[11:13])) / ticks

    end = used() + seconds
    while process.poll() is None and used() < end:
        time.sleep(0.002)


def test_killed_at_any_moment_and_run_again_gives_the_same_tables(tmp_path: Path) -> None:
    rows = [trace(n % 2900, answer="" if n % 11 == 0 else "A." * (n % 5 + 1)) for n in range(3000)]
    file, whole, corpus = jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "whole", tmp_path / "c"
    labels = jsonl(tmp_path / "l.jsonl", *(verdict(source_id=f"t{n}") for n in range(1, 2000)))
    command = [sys.executable, "-c", INGEST, str(corpus), str(file), str(labels)]
    undisturbed = ingest(whole, file, labels)
    rng, killed, partial = random.Random(5), 0, 0
    for _ in range(8):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout and process.stdout.readline() == "ready\n"
        work_on(process, rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        found = table(corpus, "traces") if (corpus / "corpus.json").exists() else []
        partial += 0 < len(found) < len(table(whole, "traces"))
        assert not {row["prompt_id"] for row in found} - {
            row["prompt_id"] for row in (table(corpus, "prompts") if found else [])
        }
    again = ingest(corpus, file, labels)
    assert killed >= 2
    assert partial >= 1
    assert again.counts == undisturbed.counts
    assert tables(corpus) == tables(whole)
    assert not list(corpus.rglob(".tmp-*"))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int, kind: str) -> int:
        """Peak memory in bytes of ingesting rows of 20 kB each."""
        file = tmp_path / f"{rows}.{kind}"
        with file.open("w") as out:
            out.write("[\n" if kind == "json" else "")
            for n in range(rows):
                comma = "," if kind == "json" and n < rows - 1 else ""
                out.write(
                    json.dumps(trace(n, answer=random.Random(n).randbytes(10_000).hex())) + comma + "\n"
                )
            out.write("]" if kind == "json" else "")
        code = INGEST.replace("20_000", "4_000_000") + (
            "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{rows}{kind}"), str(file)],
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        return int(done.stdout.split()[-1])

    for kind in ("jsonl", "json"):
        small, large = peak(1500, kind), peak(6000, kind)  # 30 and 120 MB of text
        assert large - small < 30e6, (kind, small, large)
