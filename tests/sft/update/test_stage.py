"""`sft diff`: planted changes come back exactly, whether a run is stored as weights or as an adapter."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from schemas.errors import DataError
from sft.cli import app
from sft.update import measures, tensors
from sft.update.stage import compare, layer_of, module_of, write_page

Q, UP, NORM, EMBED = (
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.1.input_layernorm.weight",
    "model.embed_tokens.weight",
)


def base_weights() -> dict[str, Any]:
    made = torch.Generator().manual_seed(0)
    shapes = {Q: (24, 24), UP: (40, 24), NORM: (24,), EMBED: (100, 24)}
    return {name: torch.randn(shape, generator=made) for name, shape in shapes.items()}


def write_model(folder: Path, weights: dict[str, Any]) -> Path:
    folder.mkdir()
    save_file(weights, str(folder / "model.safetensors"))
    (folder / "config.json").write_text("{}")
    return folder


def write_adapter(folder: Path, base: Path, weights: dict[str, Any], **config: Any) -> Path:
    folder.mkdir()
    save_file(weights, str(folder / "adapter_model.safetensors"))
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": str(base), **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base", base_weights())


@pytest.fixture
def factors() -> tuple[Any, Any]:
    made = torch.Generator().manual_seed(1)
    return torch.randn(24, 2, generator=made), torch.randn(2, 24, generator=made)


def test_a_planted_change_is_recovered_exactly(base: Path, tmp_path: Path) -> None:
    weights = base_weights()
    column, row = torch.randn(24, 1), torch.randn(1, 24)
    weights[Q] = weights[Q].double() + 0.5 * (column @ row).double()
    before = {**base_weights(), Q: base_weights()[Q].double()}
    run = write_model(tmp_path / "run", weights)
    other = write_model(tmp_path / "before", before)
    update = compare(str(run), str(other))
    (moved,) = update.tensors
    expected = float((0.5 * (column @ row).double()).norm() / before[Q].norm())
    assert moved.name == Q and moved.relative == pytest.approx(expected, rel=1e-9) and moved.share == 1
    assert moved.effective_rank == pytest.approx(1, abs=1e-4) and moved.stable_rank == pytest.approx(
        1, abs=1e-6
    )
    assert update.untouched == 3 and moved.changed == 1


def test_shares_follow_the_squared_norms_and_add_up(base: Path, tmp_path: Path) -> None:
    weights = base_weights()
    weights[Q][0, 0] += 3
    weights[UP][0, 0] += 4
    update = compare(str(write_model(tmp_path / "run", weights)), str(base))
    assert [(one.name, round(one.share, 5)) for one in update.tensors] == [(UP, 0.64), (Q, 0.36)]
    assert {one.name: round(one.share, 5) for one in update.layers if one.share} == {
        "layer 0": 0.36,
        "layer 1": 0.64,
    }
    assert sum(one.share for one in update.modules) == pytest.approx(1)
    assert update.tensors[0].changed == pytest.approx(1 / 960)


def test_effective_rank_of_equal_directions_is_their_number(base: Path, tmp_path: Path) -> None:
    weights = base_weights()
    weights[UP] = weights[UP] + torch.eye(40, 24) * 0.25
    weights[UP][:, 6:] = base_weights()[UP][:, 6:]
    (moved,) = compare(str(write_model(tmp_path / "run", weights)), str(base)).tensors
    assert moved.effective_rank == pytest.approx(6, abs=1e-4)


def test_an_adapter_tells_the_same_as_its_merged_weights(
    base: Path, tmp_path: Path, factors: tuple[Any, Any]
) -> None:
    left, right = factors
    stem = f"base_model.model.{Q.removesuffix('.weight')}"
    adapter = write_adapter(
        tmp_path / "lora", base, {f"{stem}.lora_A.weight": right, f"{stem}.lora_B.weight": left}
    )
    exact = {name: tensor.double() for name, tensor in base_weights().items()}
    original = write_model(tmp_path / "double", exact)
    merged = {**exact, Q: exact[Q] + 2 * left.double() @ right.double()}
    (lora,) = compare(str(adapter)).tensors
    update = compare(str(write_model(tmp_path / "merged", merged)), str(original))
    (full,) = update.tensors
    for number in ("relative", "share", "effective_rank", "stable_rank"):
        assert getattr(lora, number) == pytest.approx(getattr(full, number), rel=1e-6)
    assert lora.effective_rank is not None and 1 < lora.effective_rank <= 2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_cosine_to_another_run_has_its_sign_and_counts_what_only_one_changed(
    base: Path, tmp_path: Path, factors: tuple[Any, Any], sign: int
) -> None:
    left, right = factors
    stem = f"base_model.model.{Q.removesuffix('.weight')}"
    names = (f"{stem}.lora_A.weight", f"{stem}.lora_B.weight")
    first = write_adapter(tmp_path / "first", base, dict(zip(names, (right, left), strict=True)))
    change = sign * 2 * left @ right
    weights = base_weights()
    weights[Q] = weights[Q] + change
    weights[EMBED][0, 0] += float(change.norm())
    second = write_model(tmp_path / "second", weights)
    update = compare(str(first), other=str(second))
    assert update.tensors[0].cosine == pytest.approx(sign, rel=1e-5)
    assert update.cosine == pytest.approx(sign / math.sqrt(2), rel=1e-5)


def test_rank_stabilised_and_patterned_scales_are_those_of_peft() -> None:
    config = {"r": 4, "lora_alpha": 8, "use_rslora": True, "rank_pattern": {"q_proj": 16}}
    assert tensors.scale_of(config, "model.layers.0.self_attn.k_proj") == pytest.approx(4)
    assert tensors.scale_of(config, "model.layers.0.self_attn.q_proj") == pytest.approx(2)
    assert tensors.scale_of({**config, "use_rslora": False}, "model.layers.0.self_attn.q_proj") == 0.5


@pytest.mark.parametrize("shape", [(24, 24), (40, 24), (24, 40), (24,)])
def test_reading_in_pieces_changes_no_number(
    tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = torch.randn(shape), torch.randn(shape)
    first = tensors.stored(write_model(tmp_path / "a", {"w": before}))["w"]
    second = tensors.stored(write_model(tmp_path / "b", {"w": after}))["w"]
    monkeypatch.setattr(tensors, "PIECE", 100)
    difference = tensors.Subtraction(second, first)
    assert (
        len(list(tensors.pieces(difference))) == max(1, math.ceil(max(shape) / (100 // 24)))
        or len(shape) == 1
    )
    assert measures.size(difference, first).update == pytest.approx(float((after - before).double().norm()))
    matrix = (after - before).double().reshape(-1, shape[-1])
    values = measures.singular_values(difference)
    assert sorted(values.tolist()) == pytest.approx(sorted(torch.linalg.svdvals(matrix).tolist()), rel=1e-6)


def test_a_run_in_a_coarser_type_is_told_how_much_rounding_moves(base: Path, tmp_path: Path) -> None:
    rounded = {name: tensor.bfloat16() for name, tensor in base_weights().items()}
    run = write_model(tmp_path / "run", rounded)
    update = compare(str(run), str(base))
    assert all(one.rounding > (one.relative or 0) > 0 for one in update.tensors)
    outcome = CliRunner().invoke(app, ["diff", str(run), str(base)])
    assert outcome.exit_code == 0 and "4 tensors moved less than rounding" in outcome.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing", "another architecture"),
        ("shape", "different size"),
        ("cut", "damaged"),
        ("dora", "only LoRA"),
    ],
)
def test_what_cannot_be_compared_is_named(base: Path, tmp_path: Path, fault: str, words: str) -> None:
    weights = base_weights()
    if fault == "missing":
        del weights[Q]
    if fault == "shape":
        weights[EMBED] = weights[EMBED][:50].clone()
    run = (
        write_adapter(tmp_path / "run", base, {}, use_dora=True)
        if fault == "dora"
        else write_model(tmp_path / "run", weights)
    )
    if fault == "cut":
        file = run / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=words):
        compare(str(run), str(base))


def test_without_a_base_the_error_says_how_to_name_it(base: Path) -> None:
    with pytest.raises(DataError, match=r"sft diff .* BASE"):
        compare(str(base))


def test_the_page_has_a_cell_for_each_changed_matrix_and_escapes_names(base: Path, tmp_path: Path) -> None:
    weights = base_weights()
    weights[Q][0, 0] += 1
    strange = "model.layers.0.<script>alert(1)</script>.weight"
    before = write_model(tmp_path / "before", {**base_weights(), strange: torch.ones(2, 2)})
    run = write_model(tmp_path / "run", {**weights, strange: torch.zeros(2, 2)})
    out = tmp_path / "page.html"
    write_page(compare(str(run), str(before)), out)
    page = out.read_text()
    assert "self_attn.q_proj" in page and page.count('<td class="number heat"') == 2
    assert "<script>alert" not in page


def test_the_layer_and_the_module_of_usual_names() -> None:
    assert layer_of("transformer.h.11.attn.c_attn.weight") == 11 and layer_of("lm_head.weight") is None
    assert module_of(Q) == "self_attn.q_proj" and module_of(EMBED) == "embed_tokens"


def test_a_real_peft_adapter_tells_what_merging_it_changes(models: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    original: Any = AutoModelForCausalLM.from_pretrained(str(models["own"]), dtype=torch.float32)
    config = LoraConfig(r=3, lora_alpha=9, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted: Any = get_peft_model(original, config)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    lora, full = compare(str(tmp_path / "adapter")), compare(str(tmp_path / "merged"), str(models["own"]))
    assert {one.name for one in lora.tensors} == {one.name for one in full.tensors} and lora.tensors
    for one, other in zip(lora.layers, full.layers, strict=False):
        assert one.relative == pytest.approx(other.relative, rel=1e-4)
    assert all(one.effective_rank is not None and one.effective_rank <= 3 for one in lora.tensors)
