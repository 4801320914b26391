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
from sft.proof.render import (
    IGNORED,
    RenderedRow,
    Tokenizer,
    check_family,
    is_whole,
    markup_of,
    render,
    take_apart,
)

CLAIMS = {
    "prompt_as_inference": "prompt tokens equal those of the template at inference",
    "one_bos": "BOS once, as at inference",
    "prompt_without_loss": "no prompt token carries loss, every later token does",
    "reasoning_whole": "the whole reasoning is in the labels",
    "answer_whole": "the whole answer is in the labels",
    "one_think_block": "one think block (or one message of each channel), closed once",
    "eos_last": "EOS is the last label, and only there",
    "not_truncated": "fits into max_length",
}
ADVICE = {
    "prompt_as_inference": "the tokenizer's chat template is not deterministic; check its special tokens",
    "one_bos": "tokenizer and template both add a BOS, or the prompt contains one",
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

    @property
    def holds(self) -> dict[str, int]:
        """How many rows each claim holds for."""
        failed = [claim for failure in self.failures + self.overlong for claim in failure.claims]
        return {claim: self.rows - failed.count(claim) for claim in CLAIMS}

    def __repr__(self) -> str:
        return f"<Proof: {len(self.rendered):,} of {self.rows:,} rows proven>"

    def _repr_html_(self) -> str:
        told = [
            {"claim": CLAIMS[claim], "holds for": f"{n} / {self.rows}"} for claim, n in self.holds.items()
        ]
        return showing.page(repr(self).strip("<>"), {"": told})


def prove(tokenizer: Tokenizer, rows: Iterable[Row], max_length: int, overlong: Overlong = "error") -> Proof:
    """Render every row and check every claim.

    Raises:
        RenderError: if the tokenizer's family is not supported.
    """
    check_family(tokenizer)
    rendered, kept, failures, dropped, count = [], [], [], [], 0
    for row in rows:
        count += 1
        tokens = render(tokenizer, row.prompt, row.reasoning, row.answer)
        claims = broken_claims(tokenizer, row, tokens, max_length)
        failure = UnprovenRow(row.row_id, claims, len(tokens.input_ids))
        if claims == ["not_truncated"] and overlong == "drop":
            dropped.append(failure)
        elif claims:
            failures.append(failure)
        else:
            rendered.append(tokens)
            kept.append(row)
    return Proof(count, rendered, kept, failures, dropped, max_length)


def broken_claims(tokenizer: Tokenizer, row: Row, tokens: RenderedRow, max_length: int) -> list[str]:
    """The claims that do not hold for a rendered row."""
    text = _learned_text(tokenizer, tokens)
    markup = markup_of(tokenizer)
    parts = take_apart(text, markup)
    asked = _inference_tokens(tokenizer, row.prompt)
    prompt, completion = tokens.labels[: tokens.prompt_length], tokens.labels[tokens.prompt_length :]
    holds = {
        "prompt_as_inference": tokens.input_ids[: tokens.prompt_length] == asked,
        "one_bos": _one_bos(tokenizer, tokens),
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


def _one_bos(tokenizer: Tokenizer, tokens: RenderedRow) -> bool:
    bos = tokenizer.bos_token_id
    if bos is None:
        return True
    # a template may not use its tokenizer's BOS; in some families BOS and EOS are the same token
    expected = int(tokens.input_ids[0] == bos) + int(bos == tokenizer.eos_token_id)
    return tokens.input_ids.count(bos) == expected


def _inference_tokens(tokenizer: Tokenizer, prompt: str) -> list[int]:
    messages = [{"role": "user", "content": prompt}]
    return list(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    )


def _equal(decoded: str, text: str) -> bool:
    # Qwen's tokenizers normalise to NFC, which changes code points but not the text; normalising both sides allows
    # exactly that.
    return unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", text)


def _failing(claim: str, failures: Sequence[UnprovenRow]) -> list[UnprovenRow]:
    return [failure for failure in failures if claim in failure.claims]


def _explain(claim: str, failures: Sequence[UnprovenRow], max_length: int) -> str:
    failing = _failing(claim, failures)
    names = ", ".join(failure.row_id for failure in failing[:3]) + (", ..." if len(failing) > 3 else "")
    size = (
        f" (longest {max(f.tokens for f in failing)}, max_length {max_length})"
        if claim == "not_truncated"
        else ""
    )
    return f"  {len(failing)} rows fail: {CLAIMS[claim]}{size}: {names}\n    {ADVICE[claim]}"
