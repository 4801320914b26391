"""The codebooks that come with the package, read from their YAML files when they are asked for."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from schemas.codebooks.entries import Codebook

SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, which PyYAML's wheels bring: ten times as fast as PyYAML's own, which stands in where it is missing."""


def shipped_names() -> list[str]:
    """Their names, in alphabetical order."""
    folder = files("schemas.codebooks")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def shipped_text(name: str) -> str:
    """The YAML text of one of `shipped_names`."""
    return (files("schemas.codebooks") / f"{name}.yaml").read_text(encoding="utf-8")


def plain_data(text: str) -> Any:
    """The data of a YAML file of this project; what strangers write goes through `curation.recipe`."""
    return SafeLoader(text).get_single_data()


@cache
def shipped(name: str) -> Codebook:
    """One of `shipped_names`."""
    return Codebook.model_validate(plain_data(shipped_text(name)))
