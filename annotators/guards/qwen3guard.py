"""Qwen3Guard-Gen: its chat template holds the policy; replies with lines `Safety:`, `Categories:` and `Refusal:`.

Its third class, Controversial, counts as unsafe with score 0.5, so that a calibrated threshold can change that.
"""

import re
from collections.abc import Sequence

from annotators.guards.base import Finding, Guard, exchange

SAFETY = re.compile(r"^\s*Safety:\s*(Safe|Unsafe|Controversial)\s*$", re.MULTILINE)
CATEGORIES = re.compile(r"^\s*Categories:\s*(.{1,120}?)\s*$", re.MULTILINE)
REFUSAL = re.compile(r"^\s*Refusal:\s*(Yes|No)\s*$", re.MULTILINE)
SCORES = {"Safe": 0.0, "Controversial": 0.5, "Unsafe": 1.0}


def parse(replies: Sequence[str]) -> Finding | None:
    """The safety line is required; without a refusal line the refusal is null."""
    safety = SAFETY.search(replies[0])
    if safety is None:
        return None
    refusal, categories = REFUSAL.search(replies[0]), CATEGORIES.search(replies[0])
    score = SCORES[safety[1]]
    detail = ", ".join(filter(None, [safety[1].lower(), categories[1] if categories else ""]))
    return Finding(score > 0, score, refusal[1] == "Yes" if refusal else None, detail)


GUARD = Guard(
    "qwen3guard", ("unsafe", "answer_refusal"), ("reasoning", "answer"), exchange, parse, max_tokens=128
)
