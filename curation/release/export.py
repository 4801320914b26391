"""`curate export`: a mix in the formats of other trainers, in full or redacted.

The key of the reasoning decides whether a trainer sees it: many chat templates silently drop it. So the target template must
be named: see `TEMPLATES`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curation import console
from curation.corpus.store import write_file
from curation.mix import folder
from curation.release.redaction import redacted
from schemas.choices import ChatTemplate, ExportFormat, MixSplit, Tier, check_choice
from schemas.conversation import calls_as_text
from schemas.errors import DataError, RecipeError, UsageError
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


TOLD = 20
"""Rows that an error names."""


class Export(NamedTuple):
    """The result of an export."""

    path: Path
    rows: int
    split: MixSplit
    others: dict[str, int]
    """Rows of the splits that were not written."""


class Unfit(ValueError):
    """A row that a format cannot hold, and why."""


def messages(row: Line, carrier: Carrier) -> Line:
    """TRL conversational: every turn, and the tools."""
    turns = [*_earlier(row, carrier), _assistant(row["reasoning"], row["answer"], carrier)]
    return {"row_id": row["row_id"], "messages": turns} | _tools(row)


def prompt_completion(row: Line, carrier: Carrier) -> Line:
    """TRL prompt and completion, both as lists of messages."""
    said = [_assistant(row["reasoning"], row["answer"], carrier)]
    return {"row_id": row["row_id"], "prompt": _earlier(row, carrier), "completion": said} | _tools(row)


def sharegpt(row: Line, carrier: Carrier) -> Line:
    """ShareGPT, reasoning in think tags: its turns have no field for it."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = [{"from": names[role], "value": text} for role, text in _plain_turns(row)]
    return {"id": row["row_id"], "conversations": [*turns, {"from": "gpt", "value": inline(row)}]}


def alpaca(row: Line, carrier: Carrier) -> Line:
    """Alpaca, reasoning in think tags; the last question is the instruction, earlier turns are `system` and `history`."""
    turns = _plain_turns(row)
    system = [turns.pop(0)[1]] if turns[0][0] == "system" else []
    roles = [role for role, _ in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise Unfit("its turns are not pairs of question and answer")
    line = {"id": row["row_id"], "instruction": turns[-1][1], "input": "", "output": inline(row)}
    history = [[turns[n][1], turns[n + 1][1]] for n in range(0, len(turns) - 1, 2)]
    return line | ({"system": system[0]} if system else {}) | ({"history": history} if history else {})


def study(row: Line, carrier: Carrier) -> Line:
    """The safety study's training rows: prompt, response with inline think, and the purpose of the row."""
    if row.get("turns") or row.get("tools"):
        raise Unfit("it has more than one question")
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
    split: MixSplit = "train",
) -> Export:
    """Write the rows of one split of a mix to `out`: JSON lines, or a JSON array if its name ends in .json.

    Raises:
        UsageError: for an unknown format, template, tier or split, or a split that the mix has not.
        RecipeError: if the format cannot hold what the template needs.
        DataError: if the folder is not a mix, or the format cannot hold the conversation of a row; names the rows.
        CorpusError: if `out` cannot be written.
    """
    check_choice("format", format, ExportFormat)
    check_choice("template", template, ChatTemplate)
    check_choice("redact", redact, Tier)
    check_choice("split", split, MixSplit)
    if TEMPLATES[template] != "think" and format not in CHAT:
        raise RecipeError(
            f"{format} has no separate field for reasoning, which {template} needs; use {' or '.join(CHAT)}"
        )
    splits = folder.read_splits(mix)
    if split not in splits:
        raise UsageError(
            f"split: {mix} has no {split} split; set `validation: 0.1` in its recipe and build it again"
        )
    rows = splits.pop(split)
    lines = []
    with console.progress(
        "export", rows.num_rows, keeps="no file was written; run the same command again"
    ) as advance:
        for line in _lines(mix, rows, format, TEMPLATES[template], redact):
            lines.append(canonical_json(line))
            advance()
    array = out.suffix == ".json"
    write_file(
        out, b"[\n" + b",\n".join(lines) + b"\n]\n" if array else b"".join(line + b"\n" for line in lines)
    )
    return Export(out, len(lines), split, {name: other.num_rows for name, other in splits.items()})


def _lines(mix: Path, rows: pa.Table, format: ExportFormat, carrier: Carrier, redact: Tier) -> Iterator[Line]:
    rows = redacted(rows, redact)
    if redact == "ids":
        yield from rows.to_pylist()
        return
    yield from fitting(mix, rows.to_pylist(), lambda row: FORMATS[format](row, carrier), format)


def fitting(mix: Path, rows: list[Line], make: Callable[[Line], Line], format: str) -> Iterator[Line]:
    """The lines of rows.

    Raises:
        DataError: at the end, naming the rows that the format cannot hold.
    """
    unfit = []
    for row in rows:
        try:
            yield make(row)
        except Unfit as error:
            unfit.append(f"  row {row['row_id']}: {error}")
    if unfit:
        told = "\n".join(unfit[:TOLD]) + (
            f"\n  ... and {len(unfit) - TOLD} more" if len(unfit) > TOLD else ""
        )
        raise DataError(
            f"{mix}: {format} cannot hold {len(unfit)} of {len(rows)} rows, and nothing was written; use {' or '.join(CHAT)}:\n{told}"
        )


def _tools(row: Line) -> Line:
    """The tools as a JSON text, as TRL and LLaMA-Factory read them: the order of their keys is what the model sees."""
    return {"tools": row["tools"]} if row.get("tools") else {}


def _earlier(row: Line, carrier: Carrier) -> list[Line]:
    """The prompt's turns, as the format's messages."""
    if not row.get("turns"):
        return [{"role": "user", "content": row["prompt"]}]
    return [_message(turn, carrier) for turn in row["turns"]]


def _message(turn: Line, carrier: Carrier) -> Line:
    if turn["role"] != "assistant":
        return {
            name: turn[name] for name in ("role", "content", "tool_call_id", "name") if turn[name] is not None
        }
    reasoning = turn["reasoning"]
    message = {"role": "assistant", "content": turn["content"]}
    if reasoning:
        message = _assistant(reasoning, turn["content"], carrier)
    if turn["tool_calls"]:
        message["tool_calls"] = calls_as_text(json.loads(turn["tool_calls"]))
    return message


def _plain_turns(row: Line) -> list[tuple[str, str]]:
    """Role and text of each turn, for formats of texts alone."""
    turns = row.get("turns") or [{"role": "user", "content": row["prompt"]}]
    if row.get("tools") or any(turn["role"] == "tool" or turn.get("tool_calls") for turn in turns):
        raise Unfit("it has tools")
    if any(turn.get("name") for turn in turns):
        raise Unfit("its turns have names")
    return [
        (turn["role"], inline({"reasoning": turn["reasoning"], "answer": turn["content"]}))
        if turn.get("reasoning")
        else (turn["role"], turn["content"])
        for turn in turns
    ]


def _assistant(reasoning: str, answer: str, carrier: Carrier) -> Line:
    if carrier == "think":
        return {"role": "assistant", "content": inline({"reasoning": reasoning, "answer": answer})}
    return {"role": "assistant", "content": answer, carrier: reasoning}
