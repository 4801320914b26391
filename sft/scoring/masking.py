"""Replies as they may be shown."""

import json
from typing import Any

from curation.masking import mask_words


def masked_reply(row: dict[str, Any]) -> dict[str, Any]:
    """A generation as it may be shown: what answers a harmful prompt keeps its plain words, unless it refuses."""
    state = json.loads(row["extra"])["think_state"]
    shown = {key: row[key] for key in ("kind", "prompt", "reasoning", "answer", "reference_answer")} | {
        "state": state
    }
    if row["kind"] == "harmful":
        shown["prompt"], shown["reasoning"] = mask_words(row["prompt"]), mask_words(row["reasoning"])
        shown["answer"] = row["answer"] if row["answer_refusal"] else mask_words(row["answer"])
        shown["reference_answer"] = mask_words(row["reference_answer"] or "")  # what complying looks like
    return shown
