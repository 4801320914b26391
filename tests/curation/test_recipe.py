from pathlib import Path

import pytest
from pydantic import Field

from curation.recipe import Recipe, load_recipe
from schemas import RecipeError


class Part(Recipe):
    where: str
    take: int = 1


class Mix(Recipe):
    name: str
    rate: float = 0.1
    parts: dict[str, Part] = Field(default_factory=dict)


def load(tmp_path: Path, text: str, **others: str) -> Mix:
    for name, other in others.items():
        (tmp_path / f"{name}.yaml").write_text(other)
    path = tmp_path / "mix.yaml"
    path.write_text(text)
    return load_recipe(path, Mix).recipe


def fault(tmp_path: Path, text: str, **others: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, **others)
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_every_fault_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    found = fault(
        tmp_path, "name: x\nparts:\n  a:\n    were: y\n  b:\n    where: z\n    take: some\n"
    ).splitlines()
    assert found[0] == "mix.yaml:3: parts.a.where: this field is required"
    assert found[1] == "mix.yaml:4: parts.a.were: unknown field; did you mean 'where'?; allowed: take, where"
    assert found[2].startswith("mix.yaml:7: parts.b.take: write ")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: no",
            "mix.yaml:1: name: write text (YAML reads yes, no, on and off as booleans",
        ),
        ("name: a\nname: b", "mix.yaml:2: duplicate key 'name'"),
        ("name: &a x\nrate: *a", "mix.yaml:1: anchors and aliases are not allowed"),
        ("name: [", "mix.yaml:1: not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []", "mix.yaml:1: not valid YAML"),
        ("- 1", "mix.yaml:1: write a mapping of names to values"),
        ("", "mix.yaml:1: write a mapping of names to values"),
        ("[" * 100_000, "nested more than 20 levels"),
        ("name: x" + " " * 1_000_000, "larger than"),
        ("extends: gone.yaml", "gone.yaml: cannot be read"),
        ("extends: [a]", "mix.yaml:1: extends: name one recipe file"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    assert message in fault(tmp_path, text)


def test_scientific_notation_without_a_dot_is_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, "name: x\nrate: 5e-6").rate == 5e-6


def test_extends_merges_key_by_key_and_null_removes(tmp_path: Path) -> None:
    base = "name: base\nrate: 0.5\nparts:\n  a: {where: x, take: 3}\n  b: {where: y}\n"
    mix = load(tmp_path, "extends: base.yaml\nname: mine\nparts:\n  a: {take: 7}\n  b: null\n", base=base)
    assert (mix.name, mix.rate, mix.parts) == ("mine", 0.5, {"a": Part(where="x", take=7)})


def test_a_fault_in_the_base_is_placed_in_the_base(tmp_path: Path) -> None:
    assert "base.yaml:2: rate:" in fault(tmp_path, "extends: base.yaml", base="name: x\nrate: fast\n")


def test_recipes_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    assert "remove the cycle" in fault(tmp_path, "extends: base.yaml", base="extends: mix.yaml\n")


def test_recipes_that_extend_each_other_without_end_are_named(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / f"r{number}.yaml").write_text(f"extends: r{number + 1}.yaml\n")
    with pytest.raises(RecipeError, match=r"r20.yaml:1: extends: the 20th recipe in a row"):
        load_recipe(tmp_path / "r0.yaml", Recipe)
