import os
from pathlib import Path

import pytest

from curation.annotate.stage import AnnotateRecipe
from curation.mix.sweep import load_points
from curation.reading import read_text
from curation.recipe import from_options, load_yaml
from curation.trust import ALLOWED, beside, check_keys
from schemas.errors import RecipeError

CANARY = "canary-7f3a"


@pytest.mark.parametrize("name", ["/proc/self/environ", "../secret.txt", "link.txt", "a\0b", "/dev/zero"])
def test_a_recipe_names_files_beside_it_only(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(CANARY)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(RecipeError):
        beside(folder / "r.yaml", name)


def test_files_beside_a_recipe_and_below_may_be_named(tmp_path: Path) -> None:
    assert beside(tmp_path / "r.yaml", "forms/a.jinja") == tmp_path / "forms" / "a.jinja"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "proc", "binary", "large", "missing"])
def test_only_small_regular_text_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "proc":
        path = Path("/proc/self/maps")
    elif kind in ("binary", "large"):
        path.write_bytes(b"\xff" if kind == "binary" else b"x" * 101)
    with pytest.raises(RecipeError):
        read_text(path, most=100)


@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/environ", "pipe", "../other.yaml"])
def test_extends_cannot_leave_the_folder_or_hang(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "r.yaml").write_text(f"extends: {target}\nname: x\nparts: {{}}\n")
    with pytest.raises(RecipeError):
        load_points(tmp_path / "r.yaml")


def test_a_recipe_that_is_a_pipe_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="not a regular file"):
        load_yaml(tmp_path / "r.yaml")


def test_a_guard_prompt_in_a_recipe_lies_beside_it(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("annotators: [rules]\nguard_prompt: /proc/self/environ\n")
    with pytest.raises(RecipeError, match="beside"):
        from_options(AnnotateRecipe, recipe, {})
    recipe.write_text("annotators: [rules]\nguard_prompt: p.txt\n")
    assert from_options(AnnotateRecipe, recipe, {}).guard_prompt == tmp_path / "p.txt"


@pytest.mark.parametrize(
    ("server", "allowed", "passes"),
    [
        ({"base_url": "http://localhost:8000/v1"}, "", True),
        ({"base_url": "http://127.0.0.1:8000/v1", "api_key_env": "MY_API_KEY"}, "", True),
        ({"base_url": "http://localhost:1/v1", "api_key_env": "AWS_SECRET_ACCESS_KEY"}, "", False),
        ({"base_url": "https://evil.example/v1", "api_key_env": "AWS_SECRET_ACCESS_KEY"}, "", False),
        ({"base_url": "https://evil.example/v1", "api_key_env": "MY_API_KEY"}, "", False),
        ({"base_url": "https://localhost.evil.example/v1", "api_key_env": "MY_API_KEY"}, "", False),
        ({"base_url": "https://localhost@evil.example/v1", "api_key_env": "MY_API_KEY"}, "", False),
        ({"base_url": "https://evil.example/v1"}, "", False),
        ({"base_url": "https://my.example/v1", "api_key_env": "MY_API_KEY"}, "OTHER,MY_API_KEY", True),
    ],
)
def test_a_recipe_sends_only_keys_that_the_user_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: dict, allowed: str, passes: bool
) -> None:
    monkeypatch.setenv(ALLOWED, allowed)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    if passes:
        assert check_keys(tmp_path / "r.yaml", {"engine": [{"server": server}]}) is None
    else:
        with pytest.raises(RecipeError, match="--allow-env") as caught:
            check_keys(tmp_path / "r.yaml", {"engine": [{"server": server}]})
        assert CANARY not in str(caught.value)


def test_a_sweep_counts_its_points_before_it_makes_them(tmp_path: Path) -> None:
    axes = "".join(f"  a{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for n in range(60))
    (tmp_path / "r.yaml").write_text(f"name: x\nsweep:\n{axes}parts: {{a: {{where: 'true'}}}}\n")
    with pytest.raises(RecipeError, match="points are more than"):
        load_points(tmp_path / "r.yaml")
