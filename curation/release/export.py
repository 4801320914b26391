"""`curate export`: a mix in the formats of other trainers, in full or redacted.

The key of the reasoning decides whether a trainer sees it: many chat templates silently drop it. So the target template must
be named: see `TEMPLATES`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from curation.corpus.store import write_file
from curation.mix import folder
from curation.release.redaction import redacted
from schemas.choices import ChatTemplate, ExportFormat, Tier, check_choice
from schemas.errors import RecipeError
from schemas.ids import canonical_json

Line = dict[str, Any]
Carrier = Literal["think", "reasoning_content", "thinking"]

TEMPLATES: dict[ChatTemplate, Carrier] = {
    "think": "think",
    "deepseek-r1": "think",
    "qwen3": "reasoning_content",
    "gpt-oss": "thinking",
}
"""Target template -> how it represents reasoning: inline in think tags, or under a key of the assistant's message.

`deepseek-r1` is the training template that comes with TRL; the model's own always deletes the reasoning."""


class Export(NamedTuple):
    """The result of an export."""

    path: Path
    rows: int


def messages(row: Line, carrier: Carrier) -> Line:
    """TRL conversational."""
    return {"row_id": row["row_id"], "messages": [_user(row), _assistant(row, carrier)]}


def prompt_completion(row: Line, carrier: Carrier) -> Line:
    """TRL prompt and completion, both as lists of messages."""
    return {"row_id": row["row_id"], "prompt": [_user(row)], "completion": [_assistant(row, carrier)]}


def sharegpt(row: Line, carrier: Carrier) -> Line:
    """ShareGPT, reasoning in think tags: its turns have no field for it."""
    turns = [{"from": "human", "value": row["prompt"]}, {"from": "gpt", "value": inline(row)}]
    return {"id": row["row_id"], "conversations": turns}


def alpaca(row: Line, carrier: Carrier) -> Line:
    """Alpaca, reasoning in think tags; the whole prompt is the instruction."""
    return {"id": row["row_id"], "instruction": row["prompt"], "input": "", "output": inline(row)}


def study(row: Line, carrier: Carrier) -> Line:
    """The safety study's training rows: prompt, response with inline think, and the purpose of the row."""
    kinds = {"harmful": "safety"}
    line = {"id": row["row_id"], "prompt": row["prompt"], "response": inline(row)}
    return line | ({"data_type": kinds.get(row["kind"], row["kind"])} if row["kind"] else {})


FORMATS: dict[ExportFormat, Callable[[Line, Carrier], Line]] = {
    "messages": messages,
    "prompt-completion": prompt_completion,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "study": study,
}
CHAT = ("messages", "prompt-completion")
"""Formats whose messages have a key for the reasoning; the others use think tags."""


def inline(row: Line) -> str:
    """Reasoning in think tags, then the answer, as R1 writes them."""
    return f"<think>\n{row['reasoning']}\n</think>\n\n{row['answer']}"


def write(
    mix: Path,
    *,
    out: Path,
    format: ExportFormat = "messages",
    template: ChatTemplate = "think",
    redact: Tier = "full",
) -> Export:
    """Write the training rows of a mix to `out`: JSON lines, or a JSON array if its name ends in .json.

    Raises:
        UsageError: for an unknown format, template or tier.
        RecipeError: if the format cannot hold what the template needs.
        DataError: if the folder is not a mix.
        CorpusError: if `out` cannot be written.
    """
    check_choice("format", format, ExportFormat)
    check_choice("template", template, ChatTemplate)
    check_choice("redact", redact, Tier)
    if TEMPLATES[template] != "think" and format not in CHAT:
        raise RecipeError(
            f"{format} has no separate field for reasoning, which {template} needs; use {' or '.join(CHAT)}"
        )
    lines = [canonical_json(line) for line in _lines(mix, format, TEMPLATES[template], redact)]
    array = out.suffix == ".json"
    write_file(
        out, b"[\n" + b",\n".join(lines) + b"\n]\n" if array else b"".join(line + b"\n" for line in lines)
    )
    return Export(out, len(lines))


def _lines(mix: Path, format: ExportFormat, carrier: Carrier, redact: Tier) -> Iterator[Line]:
    rows = redacted(folder.read_rows(mix), redact)
    if redact == "ids":
        yield from rows.to_pylist()
        return
    for row in rows.to_pylist():
        yield FORMATS[format](row, carrier)


def _user(row: Line) -> Line:
    return {"role": "user", "content": row["prompt"]}


def _assistant(row: Line, carrier: Carrier) -> Line:
    if carrier == "think":
        return {"role": "assistant", "content": inline(row)}
    return {"role": "assistant", "content": row["answer"], carrier: row["reasoning"]}
