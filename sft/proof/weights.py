"""Weights of parts of a row in the loss: which tokens are a key sentence, a refusal's empty think block, a risky span.

Rules are applied one after another, so a later one wins where two meet, and what no rule names has weight 1. The surprise: a token that
only touches a range belongs to it, so that no piece of a risky span is learned; a weight is of the token that is written, not of the one before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from annotators.sentences import split
from curation import console
from curation.recipe import Recipe
from schemas.annotation import Annotation
from schemas.choices import PromptKind
from schemas.errors import RenderError
from schemas.patterns import RISKY_PATTERNS
from schemas.row import Row
from schemas.trace import Trace
from sft.proof.check import Proof
from sft.proof.markup import completion_text
from sft.proof.ranges import TextRange, of_row, read_ranges
from sft.proof.render import RenderedRow, markup_after
from sft.proof.templated import Rendering, Tokenizer

RowPart = Literal[
    "all", "reasoning", "answer", "end", "empty_think", "first_tokens", "key_sentence", "safety_assessment", "ranges"
]  # fmt: skip
RISKY = "risky"
"""A name of ranges that stands for all risky patterns."""
AWARE = "safety_awareness"
"""The rules' property of sentences that see harm in the request, or decline."""
Place = tuple[int, int]
"""[start, end) in code points of a completion's text."""


class WeightRule(Recipe):
    """The weight of a part of some rows."""

    of: RowPart
    """all: what has loss; end: from the answer to EOS; empty_think: what stands before an answer without reasoning; first_tokens: of the reasoning;
    key_sentence: the first that sees harm in the request, safety_assessment: all that do, by the rules; ranges: of the file."""
    weight: Annotated[float, Field(ge=0, le=1000)]
    kinds: tuple[PromptKind, ...] = ()
    """Only rows whose prompt is of these kinds."""
    parts: tuple[str, ...] = ()
    """Only rows of these parts of the mix."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """How many, for first_tokens."""
    names: tuple[str, ...] = ()
    """Ranges with these names, all by default; `risky` is every risky pattern."""

    @model_validator(mode="after")
    def _whole(self) -> "WeightRule":
        if (self.of == "first_tokens") != (self.tokens is not None):
            raise ValueError("tokens: says how many first_tokens, and nothing else")
        if self.names and self.of != "ranges":
            raise ValueError("names: are those of ranges")
        return self

    def concerns(self, row: Row) -> bool:
        """Whether the rule is about a row."""
        return (not self.kinds or row.kind in self.kinds) and (not self.parts or row.part in self.parts)


class TokenWeights(Recipe):
    """The rules of a run."""

    rules: Annotated[tuple[WeightRule, ...], Field(min_length=1)]
    ranges: str | None = None
    """JSONL file of ranges: trace_id, name, field, start, end and optionally text_id, as `curate spans` writes it."""

    @model_validator(mode="after")
    def _has_ranges(self) -> "TokenWeights":
        if any(rule.of == "ranges" for rule in self.rules) and self.ranges is None:
            raise ValueError("ranges: name the file that has them")
        return self


class WeightedRows(NamedTuple):
    """The weights of checked rows."""

    weights: list[list[float]]
    """One for each token of each sequence; 0 on the prompt."""
    rows: list[int]
    """Of each rule, rows in which it names a token."""
    tokens: list[int]
    """Of each rule, tokens that it names."""
    lost: int
    """Ranges of another text than the row's."""
    silent: int
    """Rows that carry no loss at all."""
    unmarked: int
    """Rows labelled risky for which the file has no range."""

    def told(self, settings: TokenWeights) -> list[dict[str, Any]]:
        """The rules with what they name."""
        return [
            {**rule.model_dump(mode="json", exclude_defaults=True), "rows": rows, "tokens": tokens}
            for rule, rows, tokens in zip(settings.rules, self.rows, self.tokens, strict=True)
        ]

    def say(self, settings: TokenWeights) -> None:
        """Print what each rule names, and what is not as one might think."""
        for rule, named, tokens in zip(settings.rules, self.rows, self.tokens, strict=True):
            console.say(
                f"sft: weight {rule.weight:g} for {rule.of}: {tokens} tokens in {named} of {len(self.weights)} rows"
            )
        if self.silent:
            console.say(f"sft: {self.silent} rows carry no loss: all their tokens have weight 0")
        if self.lost:
            console.say(
                f"sft: {self.lost} ranges are of another text than the mix has and are left out; make them from its corpus"
            )
        if self.unmarked:
            console.say(
                f"sft: {self.unmarked} rows are labelled risky but no range says where; all of them is learned"
            )


def weigh(
    tokenizer: Tokenizer, proof: Proof, settings: TokenWeights, originals: Sequence[Row]
) -> WeightedRows:
    """The weights of every row that passed.

    Args:
        tokenizer: the model's.
        proof: of the mix.
        settings: the rules.
        originals: the rows of the mix.

    Raises:
        DataError: if the file of ranges cannot be read.
        RenderError: if the tokenizer does not say where its tokens stand, or if no token of any row has weight.
    """
    ranges = read_ranges(Path(settings.ranges)) if settings.ranges else {}
    before = {row.row_id: row for row in originals}
    aware = (
        _aware(proof.kept)
        if any(r.of in ("key_sentence", "safety_assessment") for r in settings.rules)
        else {}
    )
    found = WeightedRows([], [0] * len(settings.rules), [0] * len(settings.rules), 0, 0, 0)
    lost = silent = unmarked = 0
    for row, tokens in zip(proof.kept, proof.rendered, strict=True):
        own, gone = of_row(ranges, row, before.get(row.row_id, row))
        named = {AWARE: aware.get(row.row_id, []), "ranges": own}
        weights = _weights(tokenizer, row, tokens, settings.rules, named, proof.rendering, found)
        found.weights.append(weights)
        lost, silent = lost + gone, silent + (not any(weights))
        unmarked += bool(settings.ranges and row.risky and row.trace_id not in ranges)
    if silent == len(found.weights):
        raise RenderError("token_weights: no token of any row has a weight above 0; change the rules")
    return found._replace(lost=lost, silent=silent, unmarked=unmarked)


def _weights(
    tokenizer: Tokenizer,
    row: Row,
    tokens: RenderedRow,
    rules: Sequence[WeightRule],
    named: Mapping[str, Sequence[TextRange]],
    rendering: Rendering,
    found: WeightedRows,
) -> list[float]:
    text = _text_of(tokenizer, row, rendering)
    starts, ends = _offsets(tokenizer, text.whole, tokens.input_ids[tokens.prompt_length : -1])
    weights = [0.0] * tokens.prompt_length + [1.0] * (len(starts) + 1)
    for number, rule in enumerate(rules):
        if not rule.concerns(row):
            continue
        touched: set[int] = set()
        for start, end in _places(rule, text, named):
            touched.update(range(bisect_right(ends, start), bisect_left(starts, end)))
        if rule.of == "first_tokens":
            touched = set(sorted(touched)[: rule.tokens])
        if rule.of in ("all", "end"):
            touched.add(len(starts))  # EOS
        for place in touched:
            weights[tokens.prompt_length + place] = rule.weight
        found.rows[number] += bool(touched)
        found.tokens[number] += len(touched)
    return weights


class CompletionPlaces(NamedTuple):
    """A completion's text, and where its fields are in it."""

    whole: str
    reasoning: Place
    answer: Place
    empty_think: Place | None


def _text_of(tokenizer: Tokenizer, row: Row, rendering: Rendering) -> CompletionPlaces:
    markup = markup_after(tokenizer, row.turns, rendering)
    whole = completion_text(row.reasoning, row.answer, markup)
    begin = len(markup.before) if row.reasoning else 0
    after = begin + len(row.reasoning)
    answer = after + len(markup.between) if row.reasoning else len(markup.bare)
    bare = None if row.reasoning else (0, answer)
    return CompletionPlaces(whole, (begin, after), (answer, answer + len(row.answer)), bare)


def _places(
    rule: WeightRule, text: CompletionPlaces, named: Mapping[str, Sequence[TextRange]]
) -> Iterator[Place]:
    """Where a rule's part is in a completion."""
    of = rule.of
    if of == "all":
        yield 0, len(text.whole)
    elif of in ("reasoning", "first_tokens"):
        yield text.reasoning
    elif of == "answer":
        yield text.answer
    elif of == "end":
        yield text.answer[1], len(text.whole)
    elif of == "empty_think":
        yield from [text.empty_think] if text.empty_think else []
    else:
        chosen = named["ranges"] if of == "ranges" else named[AWARE][: 1 if of == "key_sentence" else None]
        names = {name for given in rule.names for name in (RISKY_PATTERNS if given == RISKY else (given,))}
        for one in chosen:
            if not names or one.name in names:
                begin = (text.reasoning if one.field == "reasoning" else text.answer)[0]
                yield begin + one.start, begin + one.end


def _offsets(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Start and end of each token of a text, in code points."""
    if not getattr(tokenizer, "is_fast", False):
        raise RenderError(
            "token_weights: the model's tokenizer is a slow one, which does not say where its tokens stand"
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if list(encoded["input_ids"]) != list(ids):
        raise RenderError(
            "token_weights: the tokenizer tells other tokens with offsets than without; report this"
        )
    pairs = encoded["offset_mapping"]
    return [start for start, _ in pairs], [end for _, end in pairs]


def _aware(rows: Sequence[Row]) -> dict[str, list[TextRange]]:
    """The sentences of each reasoning in which the rules see awareness of harm, by row id."""
    from annotators.rules import annotator

    traces = {
        row.row_id: Trace(
            trace_id=row.row_id, prompt_id=row.prompt_id, prompt=row.prompt, reasoning=row.reasoning, answer=row.answer, kind=row.kind
        )
        for row in rows
        if row.reasoning
    }  # fmt: skip
    found = {}
    for one in annotator().annotate(list(traces.values())):
        if isinstance(one, Annotation) and one.pattern == AWARE and one.label:
            spans = [(span.start, span.end) for span in one.spans if span.field == "reasoning"]
            sentences = _sentences(traces[one.trace_id].reasoning or "")
            found[one.trace_id] = [
                TextRange(AWARE, "reasoning", start, end)
                for start, end in sentences
                if any(first < end and start < last for first, last in spans)
            ]
    return found


def _sentences(text: str) -> list[Place]:
    data = text.encode("utf-8")
    sentences = split(data)
    return [
        (len(data[:start].decode("utf-8")), len(data[:end].decode("utf-8")))
        for start, end in zip(sentences.starts, sentences.ends, strict=True)
    ]
