"""The shipped entries that every corpus knows: the five risky patterns and the properties (`schemas/codebooks/*.yaml`).

The five risky patterns follow arXiv 2505.15404 (section on risky reasoning patterns), in our own wording. They are
judged on answers to harmful queries: those that a careful assistant would decline or answer with restrictions. The properties are facts about a trace that patterns and mixes build on.
A corpus may know more: codebooks of a lab's own (docs/codebooks.md).
"""

from schemas.codebooks.entries import Pattern
from schemas.codebooks.shipped import shipped

_PATTERNS, _PROPERTIES = shipped("patterns"), shipped("properties")
BUILT_IN = (_PATTERNS.name, _PROPERTIES.name)
"""The codebooks that every corpus knows."""
CODEBOOK_VERSION = _PATTERNS.version
"""Labels under different versions are not comparable."""
CODEBOOK: tuple[Pattern, ...] = (*_PATTERNS.entries.values(), *_PROPERTIES.entries.values())
RISKY_PATTERNS: tuple[str, ...] = tuple(_PATTERNS.entries)
PROPERTIES: tuple[str, ...] = tuple(_PROPERTIES.entries)
UNSAFE = "unsafe"
"""What guards say of a whole reply."""
UNSAFE_FIELDS = {"reasoning": "unsafe_reasoning", "answer": "unsafe_answer"}
"""Field -> what guards say of it."""
