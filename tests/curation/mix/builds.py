"""A recipe to build, and what a build leaves or says."""

from pathlib import Path

import pytest

from schemas import RecipeError

RECIPE = "name: x\njsonl: true\nparts:\n  a: {where: kind = 'harmful', take: 40, stratify_by: [category]}\n  b: {where: kind = 'math'}\n"


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def fault(build, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        build(text)
    return str(caught.value)
