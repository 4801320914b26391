"""Masks replies for display."""

import json
from typing import Any

from curation.masking import mask_words


def masked_reply(row: dict[str, Any]) -> dict[str, Any]:
    """A masked reply: answers to harmful prompts and to attacks are masked except for common words, refusals are not."""
    state = json.loads(row["extra"])["think_state"]
    shown = {key: row[key] for key in ("kind", "prompt", "reasoning", "answer", "reference_answer")} | {
        "state": state
    }
    if row["kind"] == "harmful" or row["attack"] is not None:
        shown["prompt"], shown["reasoning"] = mask_words(row["prompt"]), mask_words(row["reasoning"])
        shown["answer"] = row["answer"] if row["answer_refusal"] else mask_words(row["answer"])
        shown["reference_answer"] = mask_words(row["reference_answer"] or "")  # an example of compliance
    return shown
