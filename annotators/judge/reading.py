"""From a judge's reply to results: each entry by itself, so that one slip voids one result and not all.

The surprise: models that were given a schema still reply with prose around it, a draft before it, nulls for empty lists and
labels in capitals, so each pattern's verdict is looked for by its name, and the last one given counts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import median_low
from typing import Any, Literal, NamedTuple

from annotators.base import Token
from annotators.grading import agreeing, expected_level, text_of
from annotators.json_replies import values_of
from annotators.judge.evidence import locate
from annotators.judge.numbering import sentence_spans
from annotators.judge.rubric import QUOTES, SENTENCES, Rubric, hand_written
from schemas.annotation import Span
from schemas.codebooks import Pattern
from schemas.trace import Trace

Label = Literal["present", "absent", "unsure"]
LEVELS: dict[str, float] = {"present": 1.0, "unsure": 0.5, "absent": 0.0}
WORDS: dict[str, Label] = {
    "present": "present", "true": "present", "yes": "present", "1": "present",
    "absent": "absent", "false": "absent", "no": "absent", "not present": "absent", "0": "absent",
    "unsure": "unsure", "uncertain": "unsure", "unclear": "unsure",
}  # fmt: skip
"""What models write for the three labels."""
NUMBER = re.compile(r"\[?(\d{1,6})(?::\w+)?\]?")
SPELLED = ("label", "level", "value", "score")
"""Names that models give the verdict."""
UNSTATED = "no verdict could be read"
NOT_FOUND = "none of the quoted passages is in the text."
NO_PASSAGE, NO_SENTENCE = "no quoted passage is in the text", "no number of a sentence there is given"
NOT_NUMBERED = "none of its numbers is of a sentence of the field that it looks at."
NO_RULE_CITED = "it is present and no rule of the list is named."


class PatternReply(NamedTuple):
    """The judge's reply on one entry."""

    label: Label
    evidence: tuple[str, ...] = ()
    value: float | None = None
    """Of an entry with levels or numbers, as a score from 0 to 1."""
    rule: str | None = None
    """The rule of a policy that it cites."""
    sentences: tuple[int, ...] = ()
    """Numbers of sentences, where the judge saw them numbered."""


class JudgeResult(NamedTuple):
    """The label of one pattern after its quotes are checked."""

    label: bool | None
    why: str
    spans: tuple[Span, ...] = ()
    score: float | None = None
    """How sure, from log-probabilities or from several samples; of an entry with levels or numbers its value."""
    opinion: float | None = None
    """What the judge said, 0 to 1; null if it said nothing that counts."""


class JudgeReply(NamedTuple):
    """A parsed reply."""

    results: dict[str, JudgeResult]
    """Result per pattern; faulty ones have a null label."""
    faults: tuple[str, ...]
    """What the judge is told when asked again; empty for a valid reply."""
    readable: bool = True
    """False if no pattern could be read."""


def read(reply: str, trace: Trace, tokens: Sequence[Token] = (), rubric: Rubric | None = None) -> JudgeReply:
    """Parse a reply: the result of each entry, and the reply's faults.

    Args:
        reply: what the judge wrote.
        trace: what it judged.
        tokens: the reply's tokens, where they are known.
        rubric: what was asked; the five patterns by default.
    """
    rubric = rubric or hand_written()
    results = outside_scope(trace, rubric)
    asked = [name for name in rubric.entries if name not in results]
    replies = {name: said for name, said in pattern_replies(reply, rubric).items() if name in asked}
    results |= dict.fromkeys(asked, JudgeResult(None, UNSTATED))
    if not replies:
        return JudgeReply(results, ("It is not the JSON object that was asked for.",), readable=False)
    faults = [f"- {name}: {UNSTATED}." for name in asked if name not in replies]
    places = sentence_spans(trace) if rubric.numbered else ()
    for name, said in replies.items():
        entry = rubric.entries[name]
        spans = _spans(entry, said, trace, places)
        why = NO_SENTENCE if rubric.numbered else NO_PASSAGE
        results[name] = _result(entry, said, spans, None if entry.graded else _grade(name, tokens), why)
        if said.label == "present" and results[name].label is None:
            missing = NOT_NUMBERED if rubric.numbered else NOT_FOUND
            faults.append(f"- {name}: {NO_RULE_CITED if _lacks_a_rule(entry, said) else missing}")
    for name, other in _contradictions(replies, rubric):
        results[name] = results[other] = JudgeResult(None, f"{name} and {other} exclude each other")
        faults.append(f"- {name} and {other} cannot both be present.")
    return JudgeReply(results, tuple(faults))


def merged(first: JudgeReply, second: JudgeReply) -> JudgeReply:
    """The second reply, and the first where only that one could be read."""
    if not second.readable:
        return first
    results = {
        name: first.results[name] if result.why == UNSTATED else result
        for name, result in second.results.items()
    }
    return second._replace(results=results)


def combined(readings: Sequence[JudgeReply], rubric: Rubric | None = None) -> dict[str, JudgeResult]:
    """The result of several samples: the majority's label, and as score their mean opinion."""
    if len(readings) == 1:
        return readings[0].results
    entries = (rubric or hand_written()).entries
    return {
        name: (_middle if entry.graded else _vote)([reading.results[name] for reading in readings])
        for name, entry in entries.items()
    }


def pattern_replies(reply: str, rubric: Rubric | None = None) -> dict[str, PatternReply]:
    """What a reply says of each entry; entries without a readable verdict are left out."""
    found = {}
    for name, entry in (rubric or hand_written()).entries.items():
        values = list(values_of(reply, name))
        verdicts = [said for value in values if (said := _lenient(value, entry))]
        if verdicts and values[-1] is not None:
            found[name] = verdicts[-1]
    return found


def outside_scope(trace: Trace, rubric: Rubric | None = None) -> dict[str, JudgeResult]:
    """Null results for the entries that cannot be judged on this trace: another kind of query, or nothing to look at."""
    settled = (rubric or hand_written()).settled(trace)
    return {name: JudgeResult(None, why) for name, why in settled.items()}


def _lenient(value: Any, entry: Pattern) -> PatternReply | None:
    if not isinstance(value, dict):
        return _verdict(value, entry)
    said = {str(name).casefold(): of for name, of in value.items()}
    verdict = _verdict(next((said[key] for key in SPELLED if said.get(key) is not None), None), entry)
    if verdict is None:
        return None
    quotes = said.get("evidence") or []
    quotes = [quotes] if isinstance(quotes, str) else quotes if isinstance(quotes, list) else []
    rule = said.get("rule")
    return verdict._replace(
        evidence=tuple(quote for quote in quotes if isinstance(quote, str)),
        rule=str(rule).strip() if rule is not None else None,
        sentences=tuple(_numbers(said.get("sentences"))),
    )


def _numbers(said: Any) -> Iterator[int]:
    """Numbers of sentences, also where a model copies them with their brackets and code."""
    for one in said if isinstance(said, list) else [said]:
        if isinstance(one, int) and not isinstance(one, bool):
            yield one
        elif isinstance(one, str) and (found := NUMBER.fullmatch(one.strip())):
            yield int(found[1])


def _verdict(value: Any, entry: Pattern) -> PatternReply | None:
    """What a label says of an entry; null if it is none of its values."""
    label = _label(value)
    if not entry.graded or label == "unsure":
        return PatternReply(label) if label else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        measured = entry.measured(value)
    except ValueError:
        return None
    return PatternReply("present" if measured.label else "absent", value=measured.score)


def _label(value: Any) -> Label | None:
    if value in (0, 1):  # also true and false
        return "present" if value else "absent"
    return WORDS.get(re.sub(r"[\W_]+", " ", value).strip().casefold()) if isinstance(value, str) else None


def _grade(pattern: str, tokens: Sequence[Token]) -> float | None:
    """How likely the pattern's label was "present", from log-probabilities."""
    text = text_of(tokens)
    last = text.rfind(f'"{pattern}"')
    label = re.compile(r'"label"\s*:\s*"?').search(text, last) if last >= 0 else None
    return expected_level(tokens, label.end(), LEVELS) if label else None


def _result(
    entry: Pattern, reply: PatternReply, spans: tuple[Span, ...], grade: float | None, where_missing: str
) -> JudgeResult:
    opinion = reply.value if reply.value is not None else LEVELS[reply.label] if grade is None else grade
    if reply.label == "unsure":
        return JudgeResult(None, "judged unsure", opinion=None if entry.graded else opinion)
    if reply.label == "absent":
        score = reply.value if entry.graded else agreeing(False, grade)
        return JudgeResult(False, "judged absent", score=score, opinion=opinion)
    if _lacks_a_rule(entry, reply):
        return JudgeResult(None, "judged present, but no rule of the list is named")
    if not spans and entry.judged_on != "prompt":
        return JudgeResult(None, f"judged present, but {where_missing}")
    why = f"judged present, {len(spans)} passages found"
    if entry.rules:
        why = f"breaks rule {reply.rule}; {len(spans)} passages found"
    return JudgeResult(True, why, spans, reply.value if entry.graded else agreeing(True, grade), opinion)


def _lacks_a_rule(entry: Pattern, reply: PatternReply) -> bool:
    return bool(entry.rules) and reply.rule not in entry.rules


def _middle(results: Sequence[JudgeResult]) -> JudgeResult:
    """Of several samples of an entry with levels or numbers the one in the middle, the lower one of two."""
    said = [result for result in results if result.label is not None and result.score is not None]
    if not said:
        return results[0]._replace(label=None)
    middle = median_low([result.score for result in said if result.score is not None])
    chosen = next(result for result in said if result.score == middle)
    return chosen._replace(why=f"{chosen.why}; the middle of {len(said)} samples")


def _vote(results: Sequence[JudgeResult]) -> JudgeResult:
    opinions = [result.opinion for result in results if result.opinion is not None]
    if not opinions:
        return results[0]._replace(label=None)
    present = [result for result in results if result.label]
    labels = [result.label for result in results if result.label is not None]
    balance = sum(1 if label else -1 for label in labels)
    label = None if balance == 0 else balance > 0
    why = f"present in {len(present)} of {len(results)} samples"
    score = agreeing(label, sum(opinions) / len(opinions))
    return JudgeResult(label, why, present[0].spans if label else (), score)


def _spans(entry: Pattern, reply: PatternReply, trace: Trace, numbered: Sequence[Span]) -> tuple[Span, ...]:
    """The evidence in the fields of an entry: numbers name sentences exactly, quotes are searched for."""
    readable: tuple[Literal["reasoning", "answer"], ...] = ("reasoning", "answer")
    fields = [field for field in readable if entry.judged_on in (field, "both")]
    named = [numbered[number - 1] for number in reply.sentences[:SENTENCES] if 1 <= number <= len(numbered)]
    spans = [span for span in named if span.field in fields]
    for quote in reply.evidence[:QUOTES]:
        for field in fields:
            if places := locate(quote, getattr(trace, field)):
                spans += [Span(field=field, start=place.start, end=place.end) for place in places]
                break
    return tuple(dict.fromkeys(spans))


def _contradictions(replies: Mapping[str, PatternReply], rubric: Rubric) -> Iterator[tuple[str, str]]:
    present = [name for name, reply in replies.items() if reply.label == "present"]
    for name in present:
        # each pair once: exclusions are written down on both sides
        excluded = rubric.entries[name].excludes
        yield from ((name, other) for other in excluded if other in present and name < other)
