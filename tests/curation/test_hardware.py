import json
from pathlib import Path

import pytest

from curation import hardware
from curation.hardware import precision, saved_dtype, threads
from sft.training import loading
from sft.training.config import TrainConfig


@pytest.fixture
def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "computes_bf16", lambda: False)


@pytest.fixture
def with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "computes_bf16", lambda: True)


def test_a_cpu_without_bfloat16_units_runs_float32_and_says_why(without_units: None) -> None:
    for saved in (None, "bfloat16", "float32"):
        dtype, why = precision("auto", accelerator=False, saved=saved)
        assert dtype == "float32" and "no bfloat16 units" in why


def test_a_cpu_with_units_runs_what_was_saved_in_half_precision_so(with_units: None) -> None:
    assert precision("auto", False, "bfloat16").dtype == precision("auto", False).dtype == "bfloat16"
    assert precision("auto", False, "float32").dtype == "float32"


def test_a_setting_beats_the_hardware_and_an_accelerator_takes_weights_as_they_are(
    without_units: None,
) -> None:
    assert precision("bfloat16", False).dtype == "bfloat16"
    assert precision("auto", True, "float16").dtype == "auto"


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"dtype": None}, "float32"),
        ([], "float32"),
    ],
)
def test_the_type_of_saved_weights_is_read_from_their_config(
    tmp_path: Path, config: object, dtype: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert saved_dtype(tmp_path) == dtype
    assert saved_dtype(tmp_path / "none") == "float32"


def test_a_small_model_has_one_thread_and_the_environment_overrides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads(500_000).number == 1
    assert 1 <= threads(7_000_000_000).number <= threads(0).cores
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = threads(500_000)
    assert found.number == 3 and "OMP_NUM_THREADS" in found.why
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads(500_000).number == 1


def test_vllm_is_left_to_bind_its_own_threads_only_where_it_gets_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (hardware.THREADS, hardware.BIND):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "threads", lambda parameters: hardware.Threads(8, 8, "all of them"))
    hardware.bind_threads(10**9)
    assert hardware.BIND not in hardware.os.environ
    monkeypatch.setattr(hardware, "threads", lambda parameters: hardware.Threads(1, 8, "a small model"))
    hardware.bind_threads(10**6)
    assert (hardware.os.environ[hardware.BIND], hardware.os.environ[hardware.THREADS]) == ("nobind", "1")
    monkeypatch.delenv(hardware.BIND)
    monkeypatch.delenv(hardware.THREADS)


@pytest.mark.parametrize(
    ("settings", "bf16"),
    [({"bf16": True}, False), ({"bf16": False}, False), ({"bf16": True, "dtype": "bfloat16"}, True)],
)
def test_a_recipe_with_bf16_trains_in_float32_where_bfloat16_is_emulated(
    without_units: None, settings: dict[str, object], bf16: bool
) -> None:
    if not loading.on_cpu():
        pytest.skip("this machine has an accelerator")
    config = TrainConfig.model_validate({"model": "m", "mix": "x", "out": "o", **settings})
    settled, chosen = loading.settled(config)
    assert settled.bf16 is bf16 and chosen.why
    assert loading.low(settled) == ("bfloat16" if bf16 else "float32")
