"""The codebooks that come with the package, read from their YAML files when they are asked for."""

from functools import cache
from importlib.resources import files

import yaml

from schemas.codebooks.entries import Codebook


def shipped_names() -> list[str]:
    """Their names, in alphabetical order."""
    folder = files("schemas.codebooks")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def shipped_text(name: str) -> str:
    """The YAML text of one of `shipped_names`."""
    return (files("schemas.codebooks") / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def shipped(name: str) -> Codebook:
    """One of `shipped_names`."""
    return Codebook.model_validate(yaml.safe_load(shipped_text(name)))
