"""Guard models as annotators: `guard:FAMILY`, or `guard:FAMILY.reasoning` and `guard:FAMILY.answer` for one field.

Reasoning and answer are judged separately, so it is known which of them is unsafe. The surprise: most guards were trained on
one fixed prompt. If the tokenizer does not include it, we use our own wording; pass the published one with
--guard-prompt and measure either with `curate calibrate`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from annotators.base import (
    UNREADABLE,
    Annotator,
    Conversation,
    Failure,
    Model,
    Token,
    ask_all,
    model_identity,
)
from annotators.earlier import with_earlier_turns
from annotators.grading import agreeing
from annotators.guards import (
    harmbench,
    llama_guard,
    qwen3guard,
    reasoningshield,
    shieldgemma,
    strongreject,
    wildguard,
    xstest,
)
from annotators.guards.base import Field, Finding, GradedWord, Guard, prompt_file
from annotators.mapping import Terms, terms_of
from schemas.annotation import Annotation
from schemas.codebooks import Codebook, Pattern
from schemas.errors import EngineError, RecipeError
from schemas.ids import content_id
from schemas.patterns import UNSAFE, UNSAFE_FIELDS
from schemas.trace import Trace

UNSAFE_PATTERNS = (UNSAFE, *UNSAFE_FIELDS.values())
REFUSALS = ("answer_refusal", "full_refusal", "partial_refusal")
"""Properties of answers only."""
FAMILIES: dict[str, Guard] = {
    module.GUARD.name: module.GUARD
    for module in (
        llama_guard, qwen3guard, wildguard, shieldgemma, reasoningshield, strongreject, harmbench, xstest,
    )
}  # fmt: skip
FIELDS: dict[str, tuple[Field, ...]] = {
    "reasoning": ("reasoning",),
    "answer": ("answer",),
    "both": ("reasoning", "answer"),
}


def guard(
    model: Model,
    which: str,
    prompt: str | None = None,
    codebooks: Sequence[Codebook] = (),
    earlier: Sequence[Codebook] = (),
) -> Annotator:
    """A guard as an annotator.

    Args:
        model: the guard's weights.
        which: "FAMILY", or "FAMILY.reasoning", "FAMILY.answer", "FAMILY.both".
        prompt: the guard's published prompt with its {prompt} and {response}, in place of our wording.
        codebooks: those whose `maps` say which entries its categories mean; it labels these too.
        earlier: versions of these that are no longer in force.

    Raises:
        RecipeError: if there is no such family or field, the prompt does not fit, or a map names no category of it.
    """
    name, _, field = which.partition(".")
    if name not in FAMILIES or (field and field not in FIELDS):
        raise RecipeError(
            f"guard:{which}: no such guard; choose from {', '.join(FAMILIES)}, "
            "each alone or with .reasoning, .answer or .both"
        )
    family = FAMILIES[name]
    fields = FIELDS[field] if field else family.fields
    terms = terms_of(codebooks, f"guard:{name}", family.categories, earlier)
    about = {one: entry for one, entry in terms.entries.items() if entry.judged_on in (*fields, "both")}
    patterns = (*_patterns(which, family, fields), *about)
    family = family._replace(patterns=patterns, version=terms.versioned(family.version))
    template = _template(family, prompt)
    title = f"guard:{which}+{model_identity(model.name)}"
    if prompt is not None:
        title += f"+{content_id(prompt)[:8]}"
    return _annotator(model, family, fields, template, f"{title}@{family.version}", terms)


def judged_field(name: str) -> Field | None:
    """The only field that a guard judges, by its annotator's name ("guard:harmbench+MODEL"); null if it judges both, or is no guard."""
    family, _, which = name.partition("+")[0].removeprefix("guard:").partition(".")
    if not name.startswith("guard:") or family not in FAMILIES:
        return None
    fields = FIELDS.get(which) or FAMILIES[family].fields
    return fields[0] if len(fields) == 1 else None


def _patterns(which: str, family: Guard, fields: tuple[Field, ...]) -> tuple[str, ...]:
    patterns = tuple(name for name in family.patterns if name not in REFUSALS or "answer" in fields)
    if "unsafe" in patterns:
        patterns += tuple(f"unsafe_{field}" for field in fields)
    if not patterns:
        raise RecipeError(f"guard:{which}: {family.name} judges answers only")
    return patterns


def _template(family: Guard, prompt: str | None) -> str:
    if prompt is None:
        return prompt_file(family.template) if family.template else ""
    if family.template is None:
        raise RecipeError(f"guard:{family.name}: its tokenizer includes the prompt; omit --guard-prompt")
    shipped = prompt_file(family.template)
    missing = [
        slot for slot in ("{prompt}", "{response}", "{policy}") if slot in shipped and slot not in prompt
    ]
    if missing:
        raise RecipeError(
            f"guard:{family.name}: --guard-prompt lacks the slots {', '.join(missing)}; add them where the texts go"
        )
    return prompt


def _annotator(
    model: Model, family: Guard, fields: tuple[Field, ...], template: str, name: str, terms: Terms
) -> Annotator:
    def due(trace: Trace) -> dict[Field, Sequence[Conversation]]:
        texts: dict[Field, str] = {field: getattr(trace, field) for field in fields}
        asked = with_earlier_turns(trace.prompt, trace.turns)
        return {field: family.ask(template, asked, text) for field, text in texts.items() if text.strip()}

    def questions(trace: Trace) -> list[Conversation]:
        return [question for asked in due(trace).values() for question in asked]

    def annotate(traces: Sequence[Trace]) -> Iterator[Annotation | Failure]:
        asked = [due(trace) for trace in traces]
        everything = [question for of_trace in asked for group in of_trace.values() for question in group]
        replies = ask_all(model, everything, family.max_tokens, family.schema)
        answers = zip(replies.texts, replies.tokens, strict=True)
        for trace, of_trace in zip(traces, asked, strict=True):
            said = {field: list(islice(answers, len(group))) for field, group in of_trace.items()}
            yield from _judged(family, name, trace.trace_id, said, terms)
        if replies.stopped:
            raise replies.stopped

    return Annotator(
        name,
        family.patterns,
        annotate,
        questions=questions,
        reply_tokens=min(family.max_tokens, 200),
        plain_query=True,
    )


_Said = tuple[str | EngineError, Sequence[Token]]


def _judged(
    family: Guard, name: str, trace_id: str, said: Mapping[Field, Sequence[_Said]], terms: Terms
) -> Iterator[Annotation | Failure]:
    findings: dict[Field, Finding] = {}
    for field, replies in said.items():
        finding = _finding(family, replies)
        if isinstance(finding, str):
            yield Failure(trace_id, finding)
            return
        findings[field] = finding
    whole = all(f"unsafe_{field}" in family.patterns for field in FIELDS["both"])
    for pattern in family.patterns:
        label, score, why = _result(findings, pattern, whole, terms)
        yield Annotation(
            trace_id=trace_id,
            pattern=pattern,
            annotator=name,
            label=label,
            score=agreeing(label, score),
            rationale=why,
        )


def _finding(family: Guard, replies: Sequence[_Said]) -> Finding | str:
    """What the guard found, graded where its tokens allow it; or why nothing was found."""
    texts = [text for text, _ in replies if isinstance(text, str)]
    if len(texts) < len(replies):
        return str(next(text for text, _ in replies if isinstance(text, EngineError)))
    finding = family.parse(texts)
    if finding is None:
        return UNREADABLE
    score = _graded(family.unsafe_word, replies)
    if score is not None:
        finding = finding._replace(score=score)
    return finding._replace(refusal_score=_graded(family.refusal_word, replies))


def _graded(word: GradedWord | None, replies: Sequence[_Said]) -> float | None:
    """The highest score of several replies; null where their log-probabilities do not tell."""
    scores = [score for _, tokens in replies if word and (score := word.score(tokens)) is not None]
    return max(scores, default=None)


class _GuardResult(NamedTuple):
    label: bool | None
    score: float | None
    why: str


def _result(findings: Mapping[Field, Finding], pattern: str, whole: bool, terms: Terms) -> _GuardResult:
    if pattern in terms.entries:
        return _category(findings, terms.entries[pattern], whole, terms)
    return _unsafe(findings, pattern, whole) if pattern in UNSAFE_PATTERNS else _refusal(findings, pattern)


def _category(findings: Mapping[Field, Finding], entry: Pattern, whole: bool, terms: Terms) -> _GuardResult:
    """Whether a field that the entry is judged on falls into a category that means it; absent only where the guard judges every such field."""
    fields = FIELDS["both"] if entry.judged_on == "both" else (entry.judged_on,)
    about = {field: one for field, one in findings.items() if field in fields}
    if not about:
        return _GuardResult(None, None, "nothing to judge: the text is empty")
    if any(entry.name in terms.of(one.categories) for one in about.values()):
        return _GuardResult(True, None, _why(about))
    if entry.judged_on == "both" and not whole:
        return _GuardResult(None, None, f"{_why(about)}; the other field was not judged")
    if any(_is_open(one, entry, terms) for one in about.values()):
        return _GuardResult(None, None, _why(about))
    return _GuardResult(False, None, _why(about))


def _is_open(finding: Finding, entry: Pattern, terms: Terms) -> bool:
    """Whether an entry that no category of a finding means may be there all the same: unsafe without a category of the list says nothing of any."""
    unnamed = finding.unsafe and (finding.unlisted or not finding.categories)
    return finding.unsafe is None or bool(unnamed) or entry.name in terms.of(finding.unread)


def _unsafe(findings: Mapping[Field, Finding], pattern: str, whole: bool) -> _GuardResult:
    """Unsafe if a field that the pattern is about is; a reply is safe only if the guard judged both fields and called both safe."""
    about = {field: one for field, one in findings.items() if pattern in ("unsafe", f"unsafe_{field}")}
    if not about:
        return _GuardResult(None, None, "nothing to judge: the text is empty")
    labels = [finding.unsafe for finding in about.values()]
    label = True if True in labels else None if None in labels else False
    scores = [finding.score for finding in about.values() if finding.score is not None]
    if pattern == "unsafe" and label is False and not whole:
        return _GuardResult(None, None, f"{_why(about)}; the other field was not judged")
    return _GuardResult(label, max(scores, default=None), _why(about))


def _refusal(findings: Mapping[Field, Finding], pattern: str) -> _GuardResult:
    finding = findings.get("answer")
    if finding is None:
        return _GuardResult(None, None, "nothing to judge: the answer is empty")
    if pattern == "answer_refusal":
        return _GuardResult(finding.refusal, finding.refusal_score, _why({"answer": finding}))
    label = finding.partial if pattern == "partial_refusal" else finding.refusal and not finding.partial
    return _GuardResult(label, None, _why({"answer": finding}))


def _why(findings: Mapping[Field, Finding]) -> str:
    def one(finding: Finding) -> str:
        word = {True: "unsafe", False: "safe", None: "no opinion"}[finding.unsafe]
        return finding.detail if finding.unsafe is None and finding.detail else _joined(word, finding.detail)

    return "; ".join(f"{field}: {one(finding)}" for field, finding in findings.items())


def _joined(word: str, detail: str) -> str:
    return f"{word} ({detail})" if detail else word
