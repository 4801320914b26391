"""Commands that pages and messages name are there, with the options that they are given."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from curation.cli import app as curate
from sft.cli import app as sft

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "mistakes.md"})]
LINE = re.compile(r"^(?:    |\$ )?(?:[a-z]+=\$\()?((?:curate|sft) [a-z].*)$", re.MULTILINE)
"""A line that is typed: in a block of code, or indented."""
NAMED = re.compile(r"`((?:curate|sft) [a-z]+(?:-[a-z]+)*)")
"""A command in a message or docstring."""


def leaves(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    """Every command and group by its whole name, with the options it takes."""
    yield name, {option for one in command.params for option in [*one.opts, *one.secondary_opts]}
    for inner, one in getattr(command, "commands", {}).items():
        yield from leaves(one, f"{name} {inner}")


COMMANDS = {**dict(leaves(get_command(curate), "curate")), **dict(leaves(get_command(sft), "sft"))}


def named(line: str) -> str:
    """The longest command that a line begins with."""
    words = line.split()
    return next((name for n in (4, 3, 2) if (name := " ".join(words[:n])) in COMMANDS), "")


def typed(text: str) -> Iterator[str]:
    """Each command that a page has somebody type, without what follows it in the line."""
    text = re.sub(r"\\\n\s*", "", text)
    for line in LINE.findall(text):
        for one in re.split(r" && |; |\| ", line):
            if re.match(r"(curate|sft) ", one):
                yield re.sub(r"\s#.*", "", one)


def test_every_command_that_a_page_has_typed_is_one_with_these_options() -> None:
    lines = [(page.name, line) for page in PAGES for line in typed(page.read_text(encoding="utf-8"))]
    assert len(lines) > 100
    assert [pair for pair in lines if not named(pair[1])] == []
    unknown = [
        (page, line, option)
        for page, line in lines
        for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", line)
        if option not in COMMANDS[named(line)] and option != "--help"
    ]
    assert unknown == []


def test_every_command_that_a_message_names_is_one() -> None:
    sources = [
        path
        for folder in ("schemas", "annotators", "curation", "sft")
        for path in (ROOT / folder).rglob("*.py")
    ]
    found = {
        (path.name, name) for path in sources for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 50
    assert [pair for pair in sorted(found) if not named(pair[1])] == []
