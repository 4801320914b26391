"""The output of `sft check`: the proof as a table, and rows as the model sees them, by segment."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from curation import console
from schemas.row import Row
from sft.proof.check import CLAIMS, Proof
from sft.proof.families import markup_of
from sft.proof.markup import take_apart
from sft.proof.render import IGNORED, RenderedRow
from sft.proof.templated import DEFAULT, Rendering, Tokenizer
from sft.proof.weights import WeightedRows

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {
    "prompt": "dim",
    "think": "bold",
    "reasoning": "yellow",
    "answer": "green",
    "eos": "bold reverse red",
}


def report(
    proof: Proof, tokenizer: Tokenizer, shown: int, json: bool, weighted: WeightedRows | None = None
) -> None:
    """Print the proof, and the first `shown` passing rows with their texts, by segment or by weight in the loss."""
    chosen = proof.rendered[:shown]
    if json:
        console.json_result(_document(proof, tokenizer, chosen, weighted))
        return
    console.show(_table(proof))
    for number, row in enumerate(chosen):
        if weighted:
            _show_weights(number + 1, weighted_texts(tokenizer, row, weighted.weights[number]))
        else:
            _show_row(number + 1, segments(tokenizer, row, proof.kept[number], proof.rendering))


def segments(
    tokenizer: Tokenizer, row: RenderedRow, of: Row, rendering: Rendering = DEFAULT
) -> list[tuple[str, str]]:
    """A rendered row as (name, text) in order: prompt, then the segments with loss."""

    def text(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    learned = [label for label in row.labels if label != IGNORED]
    parts = take_apart(text(learned[:-1]), markup_of(tokenizer, rendering, of.turns))
    return [
        ("prompt", text(row.input_ids[: row.prompt_length])),
        *([("think", parts.opened)] if parts.opened else []),
        ("reasoning", parts.reasoning),
        *([("think", parts.between)] if parts.between else []),
        ("answer", parts.answer),
        ("eos", parts.tail + text(learned[-1:])),
    ]


def weighted_texts(
    tokenizer: Tokenizer, row: RenderedRow, weights: Sequence[float]
) -> list[tuple[float, str]]:
    """What has loss of a row as (weight, text), in order; tokens of equal weight are one text."""
    of_weight = groupby(range(row.prompt_length, len(weights)), key=lambda place: weights[place])
    return [
        (weight, str(tokenizer.decode([row.input_ids[place] for place in places], skip_special_tokens=False, clean_up_tokenization_spaces=False)))
        for weight, places in of_weight
    ]  # fmt: skip


def _document(
    proof: Proof, tokenizer: Tokenizer, chosen: list[RenderedRow], weighted: WeightedRows | None
) -> dict[str, Any]:
    told = (
        {
            "weights": [
                [
                    {"weight": weight, "text": text}
                    for weight, text in weighted_texts(tokenizer, row, weighted.weights[number])
                ]
                for number, row in enumerate(chosen)
            ]
        }
        if weighted
        else {}
    )
    return {
        **told,
        "rows": proof.rows,
        "proven": proof.proven,
        "sequences": len(proof.rendered),
        "escaped": proof.escaped,
        "silent_turns": proof.silent_turns,
        "max_length": proof.max_length,
        "claims": proof.holds,
        "failures": [failure._asdict() for failure in proof.failures],
        "tokens": {"total": sum(_lengths(proof)), "longest": max(_lengths(proof), default=0)},
        "shown": [
            [{"segment": name, "text": text} for name, text in segments(tokenizer, row, of, proof.rendering)]
            for row, of in zip(chosen, proof.kept, strict=False)
        ],
    }


def _lengths(proof: Proof) -> list[int]:
    return [len(row.input_ids) for row in proof.rendered]


def _table(proof: Proof) -> "Table":
    from rich.table import Table

    title = f"{proof.proven} of {proof.rows} rows pass, longest {max(_lengths(proof), default=0)} tokens"
    table = Table("claim", "holds for", "", title=title)
    for claim, count in proof.holds.items():
        table.add_row(CLAIMS[claim], f"{count} / {proof.rows}", "ok" if count == proof.rows else "FAILS")
    return table


def _show_row(number: int, parts: list[tuple[str, str]]) -> None:
    from rich.text import Text

    console.result(f"\nrow {number} (no loss on the prompt, loss on everything after it)")
    for name, text in parts:
        line = Text(text)
        line.stylize(STYLES[name])
        console.show(Text.assemble((f"[{name}] ", "cyan"), line))


def _show_weights(number: int, parts: list[tuple[float, str]]) -> None:
    from rich.text import Text

    console.result(f"\nrow {number} (the weight of each text in the loss; none on the prompt)")
    for weight, text in parts:
        console.show(Text.assemble((f"[x{weight:g}] ", "cyan"), (text, _style(weight))))


def _style(weight: float) -> str:
    if weight == 0:
        return "strike dim"
    if weight < 1:
        return "dim"
    return "" if weight == 1 else "yellow" if weight < 2 else "bold magenta"
