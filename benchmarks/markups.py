"""Every markup on every path that a response takes: what reasoning and answer become of it, as a Markdown table.

python -m benchmarks markups         # the table of docs/data-format.md
"""

import re
from collections.abc import Callable

import orjson

from curation.engines import take_apart
from curation.engines.replies import HttpAnswer, read_answer
from curation.ingest.fields import BadRow, FieldPath, trace_line
from curation.ingest.formats import FORMATS, sort_out
from schemas.response.markups import FAMILIES
from sft.scoring.endings import ending

THOUGHT, SAID = "The person wants a colour.", "Red."
ALONE = re.compile(r"(?<![A-Za-z_])([RA])(?![A-Za-z_])")
"""The reasoning or the answer in a family's example."""
OTHERS = {
    "closing tag alone": "{R}\n</think>\n\n{A}",
    "byte order mark": "\ufeff<think>{R}</think>{A}",
    "role token before, end token behind": "<|im_start|>assistant\n<think>{R}</think>{A}<|im_end|>",
    "opened twice": "<think>\n<think>\n{R}\n</think>\n\n{A}",
    "harmony without special tokens": "analysis{R}assistantfinal{A}",
    "harmony without its beginning": "{R}<|end|><|start|>assistant<|channel|>final<|message|>{A}",
    "never closed": "<think>{R} {A}",
    "closed, no answer": "<think>{R}</think>",
    "two thoughts": "<think>{R}</think>{A}<think>{R}</think>{A}",
    "unknown tag": "<scratchpad>{R}</scratchpad>{A}",
    "unknown heading": "**Thinking:** {R}\n\n**Answer:** {A}",
    "no thought": "{A}",
}
"""What else is met around the families' marks."""
RIGHT = "R / A"


def cases() -> dict[str, str]:
    """Name -> a response with this project's thought and answer."""
    families = {family.name: ALONE.sub(r"{\1}", family.example) for family in FAMILIES}
    return {name: example.format(R=THOUGHT, A=SAID) for name, example in (families | OTHERS).items()}


def ingested(text: str) -> str:
    """What `curate ingest` makes of a response."""
    fields, extra = sort_out(FORMATS["study"], {"prompt": "Name a colour.", "response": text})
    try:
        line = trace_line(fields, extra, FieldPath("f", "f", None), 1).trace
    except BadRow as bad:
        return bad.fault.reason
    return "no response" if line is None else _told(line[2], line[3], "closed")


def served(text: str, field: str = "") -> str:
    """What an engine makes of a server's reply; with `field` as a reasoning parser would put the thought there."""
    message = {"role": "assistant", "content": text} | ({"content": SAID, field: THOUGHT} if field else {})
    reply = _reply(message)
    return _told(reply.reasoning, reply.answer, reply.think_state)


def in_process(text: str) -> str:
    """What an engine in this process makes of what the model wrote."""
    reply = take_apart(text, "stop", 1, len)
    return _told(reply.reasoning, reply.answer, reply.think_state)


def scored(text: str) -> str:
    """How `sft score` counts a reply of a server."""
    reply = _reply({"role": "assistant", "content": text})
    return ending(reply.think_state, reply.finish_reason, reply.reasoning, reply.answer)


def _reply(message: dict[str, str]):  # type: ignore[no-untyped-def]
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    return read_answer(HttpAnswer(200, {}, orjson.dumps(body)), "", lambda _: None)


def _told(reasoning: str, answer: str, state: str) -> str:
    if state == "no_think" and answer == SAID:
        return "no_think: A alone"
    return RIGHT if (reasoning, answer, state) == (THOUGHT, SAID, "closed") else state


PATHS: dict[str, Callable[[str], str]] = {
    "ingest": ingested, "server": served, "in process": in_process, "score": scored,
}  # fmt: skip
"""Path -> what becomes of a response."""


def table() -> str:
    """Markups x paths, as Markdown."""
    lines = [f"| markup | {' | '.join(PATHS)} |", "|---" * (len(PATHS) + 1) + "|"]
    for name, text in cases().items():
        lines.append(f"| {name} | {' | '.join(path(text) for path in PATHS.values())} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    print(table(), end="")
