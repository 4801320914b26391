"""The cue banks, compiled to automata.

Cues without gaps are matched together (`re2.Set`: one pass over the text, however many cues), and only those that match
are then located. A cue with gaps is searched for separately, when a rule asks for it: gaps of several cues in one
automaton multiply its states, which made the set ten times slower than its parts.
See `cues/README.md` for the notation.
"""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import re2

MEMORY = 64 << 20
"""Bytes per automaton; RE2 falls back to a slow engine above this."""
ANYWHERE = re2._Anchor.UNANCHORED
GAP = re.compile(r"\{\d*,\d+\}")


class Bank(NamedTuple):
    """Compiled cues."""

    together: re2.Set
    set_cues: tuple[str, ...]
    """Names of the cues in the set, in its order."""
    gap_cues: frozenset[str]
    """Names of the cues that have gaps."""
    each: dict[str, re2._Regexp]

    def cues_in(self, text: str | bytes) -> frozenset[str]:
        """The cues of the set that occur in a text."""
        return frozenset(self.set_cues[index] for index in self.together.Match(text) or ())

    def starts(self, cue: str, data: bytes) -> list[int]:
        """Byte offsets at which a cue starts in UTF-8 text."""
        # What `finditer` does, without an object per match: this loop is where the annotator spends its time.
        scan = self.each[cue]._regexp.Match
        starts: list[int] = []
        at, end = 0, len(data)
        while True:
            start, stop = scan(ANYWHERE, data, at, end)[0]
            if start < 0:
                return starts
            starts.append(start)
            at = stop if stop > start else start + 1


@cache
def bank(folder: str) -> Bank:
    """Compile a folder of cue banks, such as "reasoning"."""
    options = re2.Options()
    options.max_mem = MEMORY
    options.never_capture = True
    patterns = sources(folder)
    set_cues = tuple(cue for cue, pattern in patterns.items() if not GAP.search(pattern))
    together = re2.Set.SearchSet(options)
    for cue in set_cues:
        together.Add(patterns[cue])
    together.Compile()
    each = {cue: re2.compile(pattern, options) for cue, pattern in patterns.items()}
    return Bank(together, set_cues, frozenset(patterns) - frozenset(set_cues), each)


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
    # RE2 has word boundaries only for ASCII letters, so a line in another script gets none.
    start = r"\b" if re.match(r"[({]*[A-Za-z]", line) else ""
    end = r"\b" if re.search(r"[A-Za-z][)}]*$", line) else ""
    return f"{start}(?:{_expanded(_filled(line, fragments))}){end}"


def _filled(text: str, fragments: dict[str, str]) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda match: fragments[match[1]], text)


def _expanded(text: str) -> str:
    text = text.replace(" ... ", r"\b[^.,!?;:()\n]*?\b").replace("~", r"\w*").replace("'", "['’]")
    return text.replace("(", "(?:").replace(" ", r"\s+")
