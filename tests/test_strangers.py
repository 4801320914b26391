"""Folders, models, data sets and servers of strangers: what they could reach beyond themselves."""

import json
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus import status
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.engines import Sampling
from curation.engines.openai import OpenAIEngine, ServerSettings
from curation.engines.weights import locate
from curation.ingest.containers.sources import open_sources
from schemas import CorpusError, DataError, EngineError
from schemas.tables import TRACES

TRACE = {"trace_id": "t", "prompt_id": "p", "prompt": "q", "reasoning": "r", "answer": "a", "sample_index": 0}


@pytest.fixture
def corpus(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "corpus")
    made.append_rows("traces", [TRACE])
    return made


def test_a_part_that_is_a_link_out_of_the_corpus_is_not_read(corpus: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    pq.write_table(pa.Table.from_pylist([TRACE | {"trace_id": "secret"}], TRACES), secret)
    (corpus.root / "traces" / "part-f.parquet").symlink_to(secret)
    with pytest.raises(CorpusError, match=r"part-f\.parquet: a link out of the corpus"):
        status.read(corpus.root)


def test_a_lock_that_is_a_link_empties_no_file(corpus: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    (corpus.root / ".locks" / "traces").unlink(missing_ok=True)
    (corpus.root / ".locks").mkdir(exist_ok=True)
    (corpus.root / ".locks" / "traces").symlink_to(precious)
    with pytest.raises(CorpusError), corpus.writing("traces"):
        pass
    assert precious.read_text() == "kept"


def test_a_corpus_copied_while_it_is_written_is_whole(corpus: Store, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set() and number < 150:
            with corpus.writing("traces"):
                corpus.append_rows("traces", [TRACE | {"trace_id": f"w{number}"}])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy{number}"
            shutil.copytree(corpus.root, copy, ignore=shutil.ignore_patterns(".tmp-*"))
            rows = select(open_tables(Store(copy)), "select trace_id from traces")["trace_id"].to_pylist()
            assert len(set(rows)) == len(rows) >= 1
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "adapter_model.bin"])
def test_a_model_of_pickled_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(EngineError, match=rf"its weights are pickled \({name}\)"):
        locate(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert locate(str(tmp_path)).folder == tmp_path  # beside safetensors a pickle is never opened


@pytest.mark.parametrize(
    "name", ["../secret", "/etc", "a/../../b", "~/x", "a/b/c/d", "", "https://x/y", "a/b@../c"]
)
def test_a_name_on_the_hub_is_no_path(name: str) -> None:
    with pytest.raises(DataError, match="no name of a data set on the hub"):
        open_sources(f"hf:{name}")


def test_a_name_on_the_hub_is_not_a_folder_that_happens_to_be_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    with pytest.raises(DataError, match="a local path of this name"):
        open_sources("hf:owner/name")


def test_a_saved_data_set_reads_no_file_elsewhere(tmp_path: Path) -> None:
    import datasets

    for name in ("secret", "given"):
        datasets.Dataset.from_dict({"prompt": [name]}).save_to_disk(str(tmp_path / name))
    state = json.loads((tmp_path / "given" / "state.json").read_text())
    state["_data_files"] = [{"filename": "../secret/" + state["_data_files"][0]["filename"]}]
    (tmp_path / "given" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="which lies elsewhere"):
        open_sources(str(tmp_path / "given"))


def test_a_saved_data_set_runs_no_pickle(tmp_path: Path) -> None:
    import datasets

    ran = tmp_path / "ran"
    program = f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode()
    datasets.Dataset.from_dict({"prompt": ["x"]}).save_to_disk(str(tmp_path / "given"))
    for name in ("state.pkl", "dataset.pickle", "state.pickle", "dataset_dict.pkl"):
        (tmp_path / "given" / name).write_bytes(program)
    state = json.loads((tmp_path / "given" / "state.json").read_text())
    state |= {"_format_type": "custom", "_format_kwargs": {"transform": program.decode()}}
    (tmp_path / "given" / "state.json").write_text(json.dumps(state))
    try:
        for source in open_sources(str(tmp_path / "given")):
            list(source.rows())
    except DataError:
        pass  # named is fine, run is not
    assert not ran.exists()


def test_a_server_with_a_certificate_of_its_own_is_refused_unless_its_authority_is_given(
    tmp_path: Path, monkeypatch
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            reply = {"message": {"content": "Here you are."}, "finish_reason": "stop"}
            data = json.dumps({"choices": [reply]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *unused: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = ServerSettings(
        base_url=f"https://localhost:{server.server_port}/v1", patience_s=20, timeout_s=10, concurrency=1
    )
    try:
        question = [[{"role": "user", "content": "Hi"}]]
        with pytest.raises(EngineError, match=r"certificate is not trusted .*SSL_CERT_FILE"):
            OpenAIEngine("m", settings).chat(question, Sampling())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        (reply,) = OpenAIEngine("m", settings).chat(question, Sampling())
        assert reply.answer == "Here you are."
    finally:
        server.shutdown()
        server.server_close()


def test_a_read_only_corpus_is_read_and_every_writer_says_what_is_wrong(
    corpus: Store, tmp_path: Path
) -> None:
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    recipe, data = tmp_path / "r.yaml", tmp_path / "more.jsonl"
    recipe.write_text("name: x\nparts: {a: {where: 'true'}}\n")
    data.write_text('{"prompt": "q", "reasoning": "r", "answer": "a"}\n')

    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        root = str(corpus.root)
        command = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", root, root, sys.executable, "-m", "curation"]
        return subprocess.run([*command, *map(str, words), "--corpus", root], capture_output=True, text=True)

    if "bwrap: " in (seen := run("status")).stderr:
        pytest.skip("bubblewrap may not make namespaces here")
    assert seen.returncode == 0 and "traces" in seen.stdout
    built = run("build-mix", recipe, "--out", tmp_path / "mix")
    assert built.returncode == 0 and (tmp_path / "mix" / "manifest.json").is_file(), built.stderr
    refused = run("ingest", data)
    assert refused.returncode == 1 and "the file system is read-only" in refused.stderr
    assert "Traceback" not in refused.stderr
