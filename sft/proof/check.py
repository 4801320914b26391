"""The proof before training: in every row the loss covers the whole reasoning, the whole answer and EOS, and nothing else.

Each claim is checked on the token ids that go to the trainer, independently of the code that made them: the labels are
decoded to text, and the prompt is tokenised by the chat template.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from schemas import showing
from schemas.errors import RenderError
from schemas.row import Row
from sft.proof import control
from sft.proof.families import check_family
from sft.proof.markup import is_whole, take_apart
from sft.proof.render import IGNORED, RenderedRow, markup_after, render
from sft.proof.targets import called, joined, targets, unseen
from sft.proof.templated import DEFAULT, Rendering, Tokenizer, Unrenderable, prompt_text

CLAIMS = {
    "prompt_as_inference": "prompt tokens equal those of the template at inference",
    "turn_opened": "the prompt ends as the family opens a turn",
    "conversation_whole": "the template renders every turn and tool of the prompt",
    "no_control_tokens": "no text contains a control token of the model",
    "one_bos": "BOS as at inference, and nowhere else",
    "prompt_without_loss": "no prompt token carries loss, every later token does",
    "reasoning_whole": "the whole reasoning is in the labels",
    "answer_whole": "the whole answer is in the labels",
    "one_think_block": "the family's marks around the reasoning once, and nowhere else",
    "eos_last": "EOS is the last label, and only there",
    "not_truncated": "fits into max_length",
}
ADVICE = {
    "prompt_as_inference": "the tokenizer's chat template is not deterministic; check its special tokens",
    "turn_opened": "the text of the row changes how the template opens the turn (such as /no_think); filter these rows",
    "conversation_whole": "the model would not see these turns or tools; use a family that takes them, or leave the rows out of the mix",
    "no_control_tokens": "such a text opens or ends turns; filter these rows, or set control_tokens: escape or allow",
    "one_bos": "tokenizer and template both add a BOS, or a text contains one",
    "prompt_without_loss": "this is a bug of the renderer; please report it",
    "reasoning_whole": "the text contains tokens or characters that this tokenizer changes; filter these rows",
    "answer_whole": "the text contains tokens or characters that this tokenizer changes; filter these rows",
    "one_think_block": "the text contains think tags or channel markers; filter these rows",
    "eos_last": "the text contains the model's EOS token; filter these rows",
    "not_truncated": "raise max_length, cap the tokens in the mix recipe, or set overlong: drop",
}
Overlong = Literal["error", "drop"]


class UnprovenRow(NamedTuple):
    """A row with claims that do not hold."""

    row_id: str
    claims: list[str]
    tokens: int
    places: tuple[str, ...] = ()
    """Where control tokens are, and which turns the template does not render."""


class Proof(NamedTuple):
    """The result of checking a mix for one tokenizer."""

    rows: int
    rendered: list[RenderedRow]
    """The rows that pass, in the order of the mix."""
    kept: list[Row]
    """The same before rendering."""
    failures: list[UnprovenRow]
    overlong: list[UnprovenRow]
    """Rows dropped as too long, if the policy is to drop them."""
    max_length: int
    escaped: int = 0
    """Rows in which control tokens were escaped."""
    rendering: Rendering = DEFAULT
    """How the rows were rendered."""
    silent_turns: int = 0
    """Turns that call tools and carry no loss under `loss_on: all`: the template does not say what the model would write."""

    @property
    def proven(self) -> int:
        """Rows that pass; with `loss_on: all` one may give several sequences."""
        return self.rows - len(self.failures) - len(self.overlong)

    @property
    def holds(self) -> dict[str, int]:
        """How many rows each claim holds for."""
        failed = [claim for failure in self.failures + self.overlong for claim in failure.claims]
        return {claim: self.rows - failed.count(claim) for claim in CLAIMS}

    def __repr__(self) -> str:
        return f"<Proof: {self.proven:,} of {self.rows:,} rows proven>"

    def _repr_html_(self) -> str:
        told = [
            {"claim": CLAIMS[claim], "holds for": f"{n} / {self.rows}"} for claim, n in self.holds.items()
        ]
        return showing.page(repr(self).strip("<>"), {"": told})


def prove(
    tokenizer: Tokenizer,
    rows: Iterable[Row],
    max_length: int,
    overlong: Overlong = "error",
    rendering: Rendering = DEFAULT,
) -> Proof:
    """Render every row and check every claim.

    Args:
        tokenizer: the model's.
        rows: of a mix.
        max_length: most tokens of a sequence.
        overlong: what becomes of longer rows.
        rendering: which turns carry loss, and what becomes of control tokens.

    Raises:
        RenderError: if the tokenizer's family is not supported.
    """
    check_family(tokenizer, rendering)
    controls = control.of_tokenizer(tokenizer)
    rendered, kept, failures, dropped, count, escaped, silent = [], [], [], [], 0, 0, 0
    for row in rows:
        count += 1
        if rendering.control_tokens == "escape" and controls.find(row):
            row, escaped = controls.escape(row), escaped + 1
        sequences, failure, quiet = _proven(tokenizer, row, max_length, rendering, controls)
        if failure.claims == ["not_truncated"] and overlong == "drop":
            dropped.append(failure)
        elif failure.claims:
            failures.append(failure)
        else:
            rendered += sequences
            kept += [row] * len(sequences)
            silent += quiet
    return Proof(count, rendered, kept, failures, dropped, max_length, escaped, rendering, silent)


def _proven(
    tokenizer: Tokenizer,
    row: Row,
    max_length: int,
    rendering: Rendering,
    controls: control.ControlTokens,
) -> tuple[list[RenderedRow], UnprovenRow, int]:
    """The sequences of a row, the claims that fail for any of them, and how many turns carry no loss."""
    claims: set[str] = set()
    sequences: list[RenderedRow] = []
    quiet = 0
    try:
        for target in targets(row, rendering.loss_on):
            one = target.row
            tokens = (
                called(tokenizer, target, rendering)
                if target.calls
                else render(tokenizer, one.prompt, one.reasoning, one.answer, one.turns, one.tools, rendering)
            )
            if tokens is None:
                quiet += 1
                continue
            if not target.calls:
                claims |= set(broken_claims(tokenizer, one, tokens, max_length, rendering, controls))
            sequences.append(tokens)
    except Unrenderable as error:
        told = str(error).partition("(")[2].rpartition(")")[0]
        return [], UnprovenRow(row.row_id, ["conversation_whole"], 0, (told,)), 0
    places: list[str] = []
    if "no_control_tokens" in claims:
        places += map(str, controls.find(row)[: control.SHOWN])
    if "conversation_whole" in claims:
        text = prompt_text(tokenizer, row.prompt, row.turns, row.tools, rendering)
        places += unseen(text, row)[: control.SHOWN]
    sequences = joined(sequences)
    longest = max(len(tokens.input_ids) for tokens in sequences)
    if longest > max_length:
        claims.add("not_truncated")
    ordered = [claim for claim in CLAIMS if claim in claims]
    return sequences, UnprovenRow(row.row_id, ordered, longest, tuple(places)), quiet


def broken_claims(
    tokenizer: Tokenizer,
    row: Row,
    tokens: RenderedRow,
    max_length: int,
    rendering: Rendering = DEFAULT,
    controls: control.ControlTokens | None = None,
) -> list[str]:
    """The claims that do not hold for a rendered row, whose last turn alone carries loss; `controls` saves finding them anew."""
    controls = controls or control.of_tokenizer(tokenizer)
    text = _learned_text(tokenizer, tokens)
    markup = markup_after(tokenizer, row.turns, rendering)
    parts = take_apart(text, markup)
    shown = prompt_text(tokenizer, row.prompt, row.turns, row.tools, rendering)
    asked = list(tokenizer(shown, add_special_tokens=False)["input_ids"])
    prompt, completion = tokens.labels[: tokens.prompt_length], tokens.labels[tokens.prompt_length :]
    holds = {
        "prompt_as_inference": tokens.input_ids[: tokens.prompt_length] == asked,
        "turn_opened": shown.endswith(markup.opening),
        "conversation_whole": not (row.turns or row.tools) or not unseen(shown, row),
        "no_control_tokens": rendering.control_tokens == "allow" or not controls.find(row),
        "one_bos": _one_bos(tokenizer, tokens, asked),
        "prompt_without_loss": set(prompt) == {IGNORED}
        and completion == tokens.input_ids[tokens.prompt_length :],
        "reasoning_whole": _equal(parts.reasoning, row.reasoning),
        "answer_whole": _equal(parts.answer, row.answer),
        "one_think_block": is_whole(text, markup),
        "eos_last": completion.count(tokenizer.eos_token_id) == 1
        and completion[-1] == tokenizer.eos_token_id,
        "not_truncated": len(tokens.input_ids) <= max_length,
    }
    return [claim for claim in CLAIMS if not holds[claim]]


def require_proof(proof: Proof, mix: str, model: str) -> None:
    """Raise unless every row of a mix passes.

    Raises:
        RenderError: naming rows, claims and what to do.
    """
    if proof.failures:
        lines = [
            f"{mix}: {len(proof.failures)} of {proof.rows} rows fail the checks for {model}; nothing was trained"
        ]
        lines += [
            _explain(claim, proof.failures, proof.max_length)
            for claim in CLAIMS
            if _failing(claim, proof.failures)
        ]
        raise RenderError("\n".join(lines))
    if not proof.rendered:
        raise RenderError(
            f"{mix}: all {proof.rows} rows are longer than max_length {proof.max_length}; raise it"
        )


def _learned_text(tokenizer: Tokenizer, tokens: RenderedRow) -> str:
    labels = [label for label in tokens.labels if label != IGNORED]
    body = labels[:-1] if labels and labels[-1] == tokenizer.eos_token_id else labels
    return str(tokenizer.decode(body, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _one_bos(tokenizer: Tokenizer, tokens: RenderedRow, asked: Sequence[int]) -> bool:
    """BOS where inference sends it: in SmolLM2 it is the token that opens every turn, in some families that which ends one."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return True
    prompt, completion = tokens.input_ids[: tokens.prompt_length], tokens.input_ids[tokens.prompt_length :]
    ends = int(bos == tokenizer.eos_token_id)
    return prompt.count(bos) == list(asked).count(bos) and completion.count(bos) == ends


def _equal(decoded: str, text: str) -> bool:
    # Qwen's tokenizers normalise to NFC, which changes code points but not the text; normalising both sides allows
    # exactly that.
    return unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", text)


def _failing(claim: str, failures: Sequence[UnprovenRow]) -> list[UnprovenRow]:
    return [failure for failure in failures if claim in failure.claims]


def _explain(claim: str, failures: Sequence[UnprovenRow], max_length: int) -> str:
    failing = _failing(claim, failures)
    names = ", ".join(_named(claim, failure) for failure in failing[:3]) + (
        ", ..." if len(failing) > 3 else ""
    )
    size = (
        f" (longest {max(f.tokens for f in failing)}, max_length {max_length})"
        if claim == "not_truncated"
        else ""
    )
    return f"  {len(failing)} rows fail: {CLAIMS[claim]}{size}: {names}\n    {ADVICE[claim]}"


def _named(claim: str, failure: UnprovenRow) -> str:
    told = claim in ("no_control_tokens", "conversation_whole") and failure.places
    return f"{failure.row_id} ({'; '.join(failure.places)})" if told else failure.row_id
