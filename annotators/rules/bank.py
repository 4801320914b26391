"""The cue banks as one compiled machine.

All cues of all banks are first looked for together (`re2.Set`, one pass over the text whatever the size of the bank);
only cues that are known to be there are searched for their places. See `cues/README.md` for the notation.
"""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import re2

MEMORY = 256 << 20
"""RE2 falls back to a slow engine when its automaton outgrows this."""


class Bank(NamedTuple):
    """Compiled cues."""

    cues: tuple[str, ...]
    """Names, in the order of the set."""
    every: re2.Set
    each: dict[str, re2._Regexp]

    def cues_in(self, text: str) -> set[str]:
        """The cues that are somewhere in a text."""
        return {self.cues[index] for index in self.every.Match(text) or ()}

    def places(self, data: bytes) -> dict[str, list[int]]:
        """Where each cue starts in UTF-8 text, in bytes; cues that are not there are left out."""
        found = {}
        for index in self.every.Match(data) or ():
            cue = self.cues[index]
            found[cue] = [match.start() for match in self.each[cue].finditer(data)]
        return found


@cache
def bank(folder: str) -> Bank:
    """Compile a folder of cue banks, such as "reasoning"."""
    patterns = sources(folder)
    options = re2.Options()
    options.max_mem = MEMORY
    options.never_capture = True
    every = re2.Set.SearchSet(options)
    for pattern in patterns.values():
        every.Add(pattern)
    every.Compile()
    return Bank(
        tuple(patterns), every, {cue: re2.compile(pattern, options) for cue, pattern in patterns.items()}
    )


def sources(folder: str) -> dict[str, str]:
    """The regular expression of each cue in a folder; valid for RE2 and for Python's own `re`."""
    root = files("annotators.rules") / "cues"
    fragments: dict[str, str] = {}
    for line in _lines((root / "fragments.txt").read_text(encoding="utf-8")):
        name, _, text = line.partition(" = ")
        fragments[name] = f"({_filled(text, fragments)})"
    cues: dict[str, list[str]] = {}
    for file in sorted((root / folder).iterdir(), key=lambda file: file.name):
        lines = [_bounded(line, fragments) for line in _lines(file.read_text(encoding="utf-8"))]
        cues.setdefault(file.name.partition(".")[0], []).extend(lines)
    return {cue: "(?im)" + "|".join(lines) for cue, lines in cues.items()}


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _bounded(line: str, fragments: dict[str, str]) -> str:
    # RE2 knows word boundaries of Latin letters without accents only, so a line in another script has none.
    start = r"\b" if re.match(r"[({]*[A-Za-z]", line) else ""
    end = r"\b" if re.search(r"[A-Za-z][)}]*$", line) else ""
    return f"{start}(?:{_expanded(_filled(line, fragments))}){end}"


def _filled(text: str, fragments: dict[str, str]) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda match: fragments[match[1]], text)


def _expanded(text: str) -> str:
    text = text.replace(" ... ", r"\b[^.!?;:\n]{0,40}?\b").replace("~", r"\w*").replace("'", "['’]")
    return text.replace("(", "(?:").replace(" ", r"\s+")
