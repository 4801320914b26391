"""`sft families`: what is known of the chat templates in a folder, and whether rows of each pass the proof.

A template that stands alone (`NAME.jinja`) is tried on a small tokenizer made for it, whose EOS is the mark that ends a turn in
the template; a folder with a tokenizer on its own. `NAME.yaml` beside either may say `markup`, `chat_template_kwargs` and `eos`.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from curation import console
from curation.corpus.store import write_file
from curation.engines.templates import TemplateSettings
from curation.engines.weights import Weights, load_tokenizer
from curation.reading import read_text
from curation.recipe import Recipe, load_recipe
from schemas.conversation import Turn
from schemas.errors import DataError, EngineError, RenderError
from schemas.ids import content_id
from schemas.response import OPEN, read
from schemas.row import Row, row_id
from sft.proof.check import prove
from sft.proof.families import check_family, derive, end_of_turn
from sft.proof.markup import Markup, ToldMarkup, completion_text
from sft.proof.templated import Rendering
from sft.proof.turns import ChatFamily
from sft.tiny import Family, make_tokenizer

VARIANTS: tuple[dict[str, Any], ...] = (
    {}, {"enable_thinking": True}, {"thinking": True}, {"thinking_mode": "enabled"}, {"reasoning_effort": "high"},
)  # fmt: skip
"""Settings that are tried in turn where nothing is said."""
PLACEHOLDER = "<|endoftext|>"
"""EOS of a template that names none."""
LENGTH = 16_384
VERDICTS = ("derived", "told", "assumed", "rejected")


class SaidOfTemplate(Recipe):
    """What `NAME.yaml` says of a template."""

    markup: ToldMarkup | None = None
    chat_template_kwargs: TemplateSettings = Field(default_factory=dict)
    eos: str | None = None
    """The EOS token of a template that stands alone."""


class FamilyResult(NamedTuple):
    """What is known of one template."""

    name: str
    verdict: str
    """derived, told, assumed, or rejected."""
    source: str
    """From what it is known; or why it is not."""
    settings: dict[str, Any]
    """chat_template_kwargs that it needs."""
    turn: str
    """A turn after the prompt, with R for the reasoning, A for the answer and the EOS token."""
    bare: str
    """A turn without reasoning."""
    takes: tuple[str, ...]
    """Of system, turns, tools: those that its prompts show."""
    read: bool
    """Whether the toolkit reads the model's replies as reasoning and answer."""


def families(folder: Path) -> list[FamilyResult]:
    """The result for each template of a folder, in the order of their names.

    Raises:
        DataError: if there is none.
        RecipeError: if what is said of one is not understood.
    """
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix == ".jinja" or (path / "tokenizer_config.json").is_file()
    )
    if not found:
        raise DataError(
            f"{folder}: no NAME.jinja and no folder with a tokenizer_config.json; put chat templates there"
        )
    results = []
    with console.progress("families", total=len(found), unit="templates", keeps="nothing") as advance:
        for path in found:
            results.append(_result(path))
            advance(1)
    return results


def _result(path: Path) -> FamilyResult:
    said_in = path.with_suffix(".yaml") if path.suffix == ".jinja" else path.with_name(path.name + ".yaml")
    said = load_recipe(said_in, SaidOfTemplate).recipe if said_in.is_file() else SaidOfTemplate()
    variants = [said.chat_template_kwargs] if said.chat_template_kwargs else list(VARIANTS)
    why = ""
    for settings in variants:
        try:
            return _proven(path, said, Rendering(markup=said.markup, settings=settings))
        except (RenderError, EngineError) as error:
            why = why or str(error).removeprefix(f"{path.stem}: ")
    return FamilyResult(path.stem, "rejected", why, {}, "", "", (), False)


def _proven(path: Path, said: SaidOfTemplate, rendering: Rendering) -> FamilyResult:
    tokenizer = _tokenizer(path, said, rendering)
    markup = check_family(tokenizer, rendering)
    plain = [_row("Why?", "Well.\n\nSo.", "Thus:\n- it."), _row("Why?", "", "No.")]
    if failures := prove(tokenizer, plain, LENGTH, rendering=rendering).failures:
        raise RenderError(f"rows fail the proof: {', '.join(failures[0].claims)}")
    verdict = markup.source.partition(" ")[0].rstrip(":")
    return FamilyResult(
        path.stem, verdict if verdict in VERDICTS else "derived", markup.source, dict(rendering.settings or {}),
        completion_text("R", "A", markup) + tokenizer.eos_token, completion_text("", "A", markup) + tokenizer.eos_token,
        tuple(_takes(tokenizer, rendering)), _reads(markup),
    )  # fmt: skip


def _tokenizer(path: Path, said: SaidOfTemplate, rendering: Rendering) -> Any:
    if path.is_dir():
        return load_tokenizer(Weights(path, path.name))
    template = read_text(path)
    made = _stand_in(template, path.stem, said.eos or PLACEHOLDER, ())
    family = ChatFamily(made, rendering)
    eos = said.eos or end_of_turn(family) or PLACEHOLDER
    made = _stand_in(template, path.stem, eos, ())
    return _stand_in(template, path.stem, eos, sorted(derive(ChatFamily(made, rendering)).marks - {eos}))


def _stand_in(template: str, name: str, eos: str, marks: Sequence[str]) -> Any:
    tokenizer = make_tokenizer(
        Family(template, "<|bos|>", eos, eos, tuple(marks)), ["Why? Thus it is so. No."], 300
    )
    tokenizer.name_or_path = name
    return tokenizer


def _row(prompt: str, reasoning: str, answer: str, **more: Any) -> Row:
    trace = content_id([prompt, reasoning, answer])
    return Row(
        row_id=row_id(trace, "families"), trace_id=trace, prompt_id=content_id(prompt), part="families", kind="benign", strategy="", model=None,
        source="", source_id=None, category=None, prompt=prompt, reasoning=reasoning, answer=answer, reference_answer=None, tokens=1, risky=(), **more,
    )  # fmt: skip


def _takes(tokenizer: Any, rendering: Rendering) -> Iterator[str]:
    """What of a conversation the family's prompts show, by rows that have it and pass."""
    question = Turn(role="user", content="Why?")
    earlier = (
        Turn(role="user", content="Who?"),
        Turn(role="assistant", content="She.", reasoning="Hm."),
        question,
    )
    tools = json.dumps(
        [
            {
                "type": "function",
                "function": {
                    "name": "look_up",
                    "description": "",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ]
    )
    asked: dict[str, dict[str, Any]] = {
        "system": {"turns": (Turn(role="system", content="Be brief."), question)},
        "turns": {"turns": earlier},
        "tools": {"turns": (question,), "tools": tools},
    }
    for name, more in asked.items():
        if not prove(tokenizer, [_row("Why?", "So.", "Thus.", **more)], LENGTH, rendering=rendering).failures:
            yield name


def _reads(markup: Markup) -> bool:
    lead = OPEN if markup.opening.rstrip().endswith(OPEN) else ""
    found = read(lead + completion_text("It is so.", "Thus it is.", markup))
    return (found.reasoning, found.answer, found.fault) == ("It is so.", "Thus it is.", None)


def write_table(results: Sequence[FamilyResult], out: Path) -> None:
    """Write the results as a Markdown table."""
    rows = [
        "| family | known | the model writes | without reasoning | needs | takes | replies read |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        cells = [one.name, _known(one), _code(one.turn), _code(one.bare), _code(json.dumps(one.settings) if one.settings else ""),
                 ", ".join(one.takes), "" if one.verdict == "rejected" else "yes" if one.read else "no"]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    write_file(out, (os.linesep.join(rows) + os.linesep).encode())


def _known(one: FamilyResult) -> str:
    source = one.source.partition(", so a guess")[0].partition("; ")[0].replace("|", "\\|")
    return source if source.startswith(one.verdict) else f"{one.verdict}: {source}"


def _code(text: str) -> str:
    return (
        "`" + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("|", "\\|") + "`"
        if text
        else ""
    )


def show(results: Sequence[FamilyResult]) -> None:
    """Print the results, and how many there are of each kind."""
    rows = [
        {"family": one.name, "known": one.verdict, "from": one.source, "turn": one.turn, "needs": json.dumps(one.settings) if one.settings else ""}
        for one in results
    ]  # fmt: skip
    console.show_rows(["family", "known", "from", "turn", "needs"], rows)
    counts = {verdict: sum(one.verdict == verdict for one in results) for verdict in VERDICTS}
    console.result(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
