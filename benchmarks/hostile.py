"""Hostile input: tens of thousands of made-up bad inputs against everything that reads what others wrote.

Each must end in an ordinary result, a quarantined row or a named error, within its time; nothing may crash, hang or eat the
memory (the process may have 6 GiB in all). The texts are nonsense with the marks that parsers trip over.

    python -m benchmarks hostile         # 50,000 inputs; HOSTILE_INPUTS=2000 for fewer
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from annotators.guards import FAMILIES
from annotators.judge.judge import read
from annotators.rules import annotator
from benchmarks.hostile_tables import ingest_table
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.corpus.untrusted import check_condition, check_order, select_untrusted
from curation.ingest.stage import IngestRecipe, run
from curation.mix.recipe import MixRecipe
from curation.recipe import parse_recipe
from schemas import response as split
from schemas.errors import CurateError, RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

INPUTS = int(os.environ.get("HOSTILE_INPUTS", "50000"))
SECONDS = 10.0
"""Most CPU time that one input may take; the usual one takes milliseconds."""
GIGABYTES = 6

MARKS = (
    "<think>", "</think>", "<|im_end|>", "<|User|>", "<|channel|>final", "[INST]", "```", "{", "}", "[", "]", '"', "\\", "\0",
    "\u202e", "\u200b", "\ufeff", "\u2028", "\ud800", "\r\n", "\n", "\t", "💣", "𝕬", "e\u0301" * 9, "&lt;", "<script>alert(1)</script>",
    "{{ 7*7 }}", "{% raw %}", "{prompt}", "%s%n", "=cmd|'x'!A1", "../../etc", "safe", "unsafe\nS1", "Harmful: yes", "yes", "no",
    '{"label": "present"}', "null", "NaN", "1e999", "-0", "a: &a [*a]", "!!python/object", "?", ": ", "- ", "select 1;", "--", "/*",
    "'", "attach 'x' as y", "read_text('x')", "copy (select 1) to 'x'", "risky", "kind = 'harmful'", "strategy", "I can't", "However,",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(MARKS) | st.text(max_size=12), max_size=25)
TEXT = WORDS.map("".join) | WORDS.map(" ".join) | st.text(max_size=60)
SOUND = TEXT.map(lambda text: text.encode("utf-8", "ignore").decode())
"""Texts without lone surrogates, as they are once they are in the corpus."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "prompt",
    "reasoning",
    "answer",
    "response",
    "messages",
    "conversations",
    "id",
    "kind",
    "category",
    "sampling",
    "labels",
)
ROW = st.dictionaries(st.sampled_from(FIELDS) | TEXT, JSON, max_size=7)


RECIPES = files("curation.mix") / "recipes"
LINES = sorted(
    {
        line
        for name in ("study", "ablation")
        for line in (RECIPES / f"{name}.yaml").read_text("utf-8").splitlines()
    }
)
RECIPE = st.lists(st.sampled_from(LINES) | WORDS.map("".join) | st.sampled_from(MARKS), max_size=20).map(
    "\n".join
)
"""Lines of real recipes in any order, with foreign ones between them."""
FINDINGS = st.dictionaries(
    st.sampled_from(RISKY_PATTERNS) | TEXT,
    st.fixed_dictionaries(
        {"label": st.sampled_from(("present", "absent", "unsure")) | TEXT, "evidence": st.lists(TEXT) | JSON}
    ),
)


class HostileTarget(NamedTuple):
    """Something that reads what others wrote."""

    inputs: st.SearchStrategy[Any]
    reads: Callable[[Any], None]
    """Ends ordinarily or with a CurateError; anything else is a fault."""
    share: int = 1
    """Of all inputs."""


def _line(row: Any) -> bytes:
    return json.dumps(row).encode()


FILE = st.lists(
    ROW.map(_line) | st.binary(max_size=60) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    max_size=6,
).map(b"\n".join)


def ingest(data: bytes) -> None:
    """A file of rows: every row ends in one state."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_bytes(data)
        counts = run(Path(folder) / "corpus", [str(path)], IngestRecipe()).counts
        assert counts.balance == 0, counts


def take_apart(text: str) -> None:
    """What a model wrote: the parts are in the text, and hold no tag."""
    found = split.split(text)
    if isinstance(found, split.Split):
        assert "<think>" not in found.reasoning + found.answer and found.answer.strip()


def recipe(data: bytes) -> None:
    """A recipe of a stranger."""
    parse_recipe(Path("stranger.yaml"), data, MixRecipe)


def trace(text: str) -> Trace:
    """A trace with this text everywhere."""
    return Trace(trace_id="t", prompt_id="p", prompt=text, kind="harmful", reasoning=text, answer=text or "x")


def judge_reply(text: str) -> None:
    """What an LLM judge answers."""
    for verdict in read(text, trace("Some reasoning with I can't and However, in it")).results.values():
        assert verdict.label in (True, False, None)


def guard_reply(text: str) -> None:
    """What a guard answers: it is read or it is not, and never by guessing."""
    for family in FAMILIES.values():
        found = family.parse([text] * len(family.ask("", "", "")))
        assert found is None or found.unsafe in (True, False, None)


def rules(text: str) -> None:
    """The rules on any text: spans lie within it."""
    given_trace = trace(text)
    for annotation in annotator().annotate([given_trace]):
        for span in annotation.spans:
            assert 0 <= span.start < span.end <= len(getattr(given_trace, span.field))


def rendering() -> Callable[[tuple[str, str, str]], None]:
    """Rows with any text under a chat template: proven, or found unproven."""
    from schemas.ids import content_id
    from schemas.row import Row, row_id
    from sft.proof.check import prove
    from sft.tiny import make_tokenizer, own_family

    tokenizer = make_tokenizer(own_family(), ["some words to learn from"], 300)

    def read_row(texts: tuple[str, str, str]) -> None:
        prompt, reasoning, answer = texts
        key = content_id(list(texts))
        row = Row(
            row_id=row_id(key, "a"), trace_id=key, prompt_id=key, part="a", kind="harmful", strategy=None, model=None, source=None,
            source_id=None, category=None, prompt=prompt, reasoning=reasoning, answer=answer, reference_answer=None, tokens=1, risky=(),
        )  # fmt: skip
        prove(tokenizer, [row], 4096)

    return read_row


def mix_sql(folder: Path) -> Callable[[str], None]:
    """A condition of a recipe: it is one expression, or refused; files and settings stay out of reach."""
    corpus = Store.create(folder / "corpus")
    text = "Say something"
    corpus.append_rows("prompts", [{"prompt_id": "p", "text": text}])
    corpus.append_rows("traces", [trace(text).model_dump()])
    connection = connect(corpus, memory_limit="500MB", threads=1)
    before = sorted(path.name for path in folder.rglob("*"))

    def read_condition(condition: str) -> None:
        for check in (check_condition, check_order, select_untrusted):
            try:
                check(connection, condition)
            except RecipeError:
                continue
        assert sorted(path.name for path in folder.rglob("*")) == before

    return read_condition


def targets(folder: Path) -> dict[str, HostileTarget]:
    """Everything that is attacked, by name."""
    return {
        "ingest": HostileTarget(FILE, ingest, 3),
        "Parquet and Arrow": HostileTarget(st.integers(0, 2**32), ingest_table, 2),
        "trace splitter": HostileTarget(TEXT, take_apart, 3),
        "recipe": HostileTarget(
            st.binary(max_size=80) | TEXT.map(lambda text: text.encode("utf-8", "replace")), recipe, 3
        ),
        "judge reply": HostileTarget(TEXT | JSON.map(json.dumps) | FINDINGS.map(json.dumps), judge_reply, 2),
        "guard reply": HostileTarget(TEXT, guard_reply, 2),
        "rules": HostileTarget(SOUND, rules, 2),
        "chat template": HostileTarget(st.tuples(SOUND, SOUND, SOUND), rendering(), 1),
        "mix SQL": HostileTarget(TEXT, mix_sql(folder), 3),
    }


class Attacked(NamedTuple):
    """What a target bore."""

    inputs: int
    slowest: float
    """Most CPU time that one input took, in seconds."""


def attack(target: HostileTarget, inputs: int) -> Attacked:
    """Feed a target with at least so many inputs.

    Raises:
        AssertionError, or whatever came of an input that was not borne.
    """
    slowest, fed = 0.0, 0

    @settings(
        max_examples=inputs, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(target.inputs)
    def feed(value: Any) -> None:
        nonlocal slowest, fed
        start = time.process_time()
        with suppress(CurateError):
            target.reads(value)
        taken = time.process_time() - start
        assert taken < SECONDS, f"took {taken:.1f} s"
        slowest, fed = max(slowest, taken), fed + 1

    feed()
    return Attacked(fed, slowest)


def measure(inputs: int = INPUTS) -> dict[str, Any]:
    """Attack everything; returns the number of inputs and the slowest by target."""
    with tempfile.TemporaryDirectory() as folder:
        attacked = targets(Path(folder))
        whole = sum(target.share for target in attacked.values())
        found = {}
        for name, target in attacked.items():
            share = -(-inputs * target.share // whole)
            done = attack(target, share)
            found[name] = {"inputs": done.inputs, "slowest_seconds": round(done.slowest, 3)}
            print(f"{name}: {found[name]}", flush=True)
    return {"inputs": sum(int(entry["inputs"]) for entry in found.values()), "targets": found}


def main() -> None:
    """Print the figures as a JSON line; a fault is an exception with the input that caused it."""
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES * 2**30,) * 2)
    print(json.dumps({"benchmark": "hostile", **measure()}))
