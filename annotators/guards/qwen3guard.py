"""Qwen3Guard-Gen: its chat template holds the policy; replies with lines `Safety:`, `Categories:` and `Refusal:`.

Its third class, Controversial, counts as unsafe with score 0.5, so that a calibrated threshold can change that.
"""

import re
from collections.abc import Sequence

from annotators.guards.base import ONLY, Finding, GradedWord, Guard, exchange, plain

FLAGS = re.IGNORECASE | re.MULTILINE
SAFETY = re.compile(rf"^\W*Safety\s*:\s*(Safe|Unsafe|Controversial)\b{ONLY}", FLAGS)
CATEGORIES = re.compile(r"^\W*Categories\s*:\s*(.{1,120}?)\s*$", FLAGS)
REFUSAL = re.compile(rf"^\W*Refusal\s*:\s*(Yes|No)\b{ONLY}", FLAGS)
CATEGORY_NAMES = (
    "Violent", "Non-violent Illegal Acts", "Sexual Content or Sexual Acts", "PII", "Suicide & Self-Harm", "Unethical Acts",
    "Politically Sensitive Topics", "Copyright Violation", "Jailbreak",
)  # fmt: skip
"""As its model card lists them; the last is one of prompts."""
SCORES = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}


def parse(replies: Sequence[str]) -> Finding | None:
    """The safety line is required; without a refusal line the refusal is null."""
    text = plain(replies[0])
    safety = SAFETY.search(text)
    if safety is None:
        return None
    refusal, categories = REFUSAL.search(text), CATEGORIES.search(text)
    level = safety[1].lower()
    named = categories[1] if categories else ""
    detail = ", ".join(filter(None, [level, named]))
    refused = refusal[1].lower() == "yes" if refusal else None
    said = {one.strip().casefold() for one in named.split(",")} - {"", "none"}
    found = tuple(one for one in CATEGORY_NAMES if one.casefold() in said)
    return Finding(
        SCORES[level] > 0, SCORES[level], refused, detail, categories=found, unlisted=len(found) < len(said)
    )


GUARD = Guard(
    "qwen3guard", ("unsafe", "answer_refusal"), ("reasoning", "answer"), exchange, parse, max_tokens=128,
    categories=CATEGORY_NAMES,
    unsafe_word=GradedWord("safety:", SCORES), refusal_word=GradedWord("refusal:", {"yes": 1.0, "no": 0.0}),
)  # fmt: skip
