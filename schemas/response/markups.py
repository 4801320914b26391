"""The families of markup that models put around their reasoning, as regular expressions, and what stands around a turn.

The surprise: a server that decodes without special tokens leaves traces of its markup, such as `analysis...assistantfinal...` of
gpt-oss; these are families too. Whatever else looks like a thought is unknown markup, and is never taken for an answer.
"""

import re
from functools import cache
from typing import NamedTuple

BAR = "[|｜]"
OPEN, CLOSE = "<think>", "</think>"


class MarkupFamily(NamedTuple):
    """One way to mark reasoning."""

    name: str
    open: str
    """Regular expression of the opening mark."""
    close: str
    """Regular expression of the closing mark, with what leads over to the answer."""
    example: str
    """A response whose reasoning is `R` and whose answer is `A`."""
    models: str
    """Where it is met."""
    alone: bool = True
    """Whether its marks are so distinct that one alone, anywhere in a text, marks a thought."""


def _tag(names: str) -> tuple[str, str]:
    """An XML-like tag in any case, with attributes or white space inside."""
    return rf"<\s*(?:{names})(?:\s[^<>]{{0,200}})?>", rf"<\s*/\s*(?:{names})\s*>"


def _family(name: str, names: str, example: str, models: str) -> MarkupFamily:
    return MarkupFamily(name, *_tag(names), example, models)


FAMILIES = (
    _family("think", "think", "<think>\nR\n</think>\n\nA", "DeepSeek-R1, Qwen3, QwQ, GLM, MiniMax, Hunyuan, Granite 3.3 and most others"),
    _family("thinking", "thinking", "<thinking>R</thinking>A", "prompted models, Reflection"),
    _family("thought", "thought", "<thought>\nR\n</thought>\n\nA", "EXAONE Deep, Marco-o1, Gemini by its OpenAI address"),
    _family("reasoning", "reasoning|reason", "<reasoning>\nR\n</reasoning>\n<answer>\nA\n</answer>", "GRPO recipes"),
    _family("seed", "seed:think", "<seed:think>R</seed:think>A", "Seed-OSS"),
    MarkupFamily("brackets", r"\[\s*THINK\s*\]", r"\[\s*/\s*THINK\s*\]", "[THINK]R[/THINK]A", "Magistral, Ministral"),
    MarkupFamily("kimi", "◁think▷", "◁/think▷", "◁think▷R◁/think▷A", "Kimi-VL"),
    MarkupFamily(
        "open-thoughts", r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>",
        "<|begin_of_thought|>\n\nR\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nA\n\n<|end_of_solution|>", "OpenThoughts, Sky-T1",
    ),
    MarkupFamily(
        "cohere", r"<\|START_THINKING\|>", r"<\|END_THINKING\|>",
        "<|START_THINKING|>R<|END_THINKING|><|START_RESPONSE|>A<|END_RESPONSE|>", "Command A Reasoning",
    ),
    MarkupFamily("apertus", r"<\|inner_prefix\|>", r"<\|inner_suffix\|>", "<|inner_prefix|>R<|inner_suffix|>A", "Apertus"),
    MarkupFamily("gemma", r"<\|channel>\s*(?:thought|analysis)\b", r"<channel\|>", "<|channel>thought\nR<channel|>A", "Gemma 4"),
    MarkupFamily(
        "solar", rf"<{BAR}think(?:ing)?{BAR}>",
        rf"(?:<{BAR}(?:/|end_|end_of_)think(?:ing)?{BAR}>|<\|end\|>(?=\s*<\|begin\|>\s*assistant))\s*(?:<\|begin\|>\s*assistant)?\s*(?:<\|content\|>)?",
        "<|think|>R<|end|><|begin|>assistant<|content|>A<|end|>", "Solar-Open",
    ),
    MarkupFamily(
        "s1", r"<\|im_start\|>\s*think\b", r"(?:<\|im_end\|>\s*)?<\|im_start\|>\s*answer\b",
        "<|im_start|>think\nR\n<|im_start|>answer\nA", "s1",
    ),
    MarkupFamily(
        "harmony", r"<\|channel\|>analysis<\|message\|>",
        r"(?:<\|end\|>)?\s*<\|start\|>assistant<\|channel\|>final<\|message\|>|(?<=[.!?)\"'”’\s])assistantfinal(?=[A-Z])",
        "<|channel|>analysis<|message|>R<|end|><|start|>assistant<|channel|>final<|message|>A<|return|>",
        "gpt-oss; also as `analysisRassistantfinalA`, without its special tokens",
    ),
    MarkupFamily(
        "granite", r"Here(?:'s| is) my thought process:", r"Here(?:'s| is) my response:",
        "Here is my thought process:\nR\nHere is my response:\nA", "Granite 3.2", alone=False,
    ),
    MarkupFamily(
        "ollama", r"Thinking\.\.\.[ \t]*\n", r"\.\.\.done thinking\.",
        "Thinking...\nR\n...done thinking.\n\nA", "text copied from Ollama's command line", alone=False,
    ),
)  # fmt: skip
"""Families with one mark before the reasoning and one behind it; a turn that begins in gpt-oss's channels is read by `channels`."""

ANSWER_TAGS = (
    *(_tag(name) for name in ("answer", "response", "final_answer", "output", "solution", "final")),
    (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
    (r"<\|START_(?:RESPONSE|TEXT)\|>", r"<\|END_(?:RESPONSE|TEXT)\|>"),
)
"""Tags that may stand around an answer."""

_ROLES = "Assistant|ASSISTANT|assistant|bot|model|CHATBOT_TOKEN|START_OF_TURN_TOKEN|begin[▁_]of[▁_](?:sentence|text)"
_LEAD = (
    f"[\\s\ufeff\u200b\u2060]*(?:(?:<{BAR}(?:{_ROLES}){BAR}>"
    r"|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|header_start\|>\s*assistant\s*<\|header_end\|>"
    r"|<\|(?:im_start|start|begin|start_of_role)\|>\s*(?:assistant|model)\b(?:<\|end_of_role\|>)?"
    r"|<(?:\|turn|start_of_turn)>\s*model\b|<seed:bos>\s*assistant\b|<bos>|<s>|\[/INST\]|\[\|assistant\|\]"
    r"|(?:[Aa]ssistant|ASSISTANT|model|gpt)[ \t]*(?::|\r?\n)(?=\s*[<\[◁])"
    ")[\\s\ufeff\u200b\u2060]*)*"
)
"""What may stand before a turn: byte order marks, role tokens, a role's name before a mark."""
_ENDS = "im_end|endoftext|eot_id|eom_id|eot|eos|end|return|end[▁_]of[▁_]sentence|end_of_text|END_OF_TURN_TOKEN|endofturn|user"
_TAIL = rf"(?:\s*(?:<{BAR}(?:{_ENDS}){BAR}>|</s>|<eos>|<end_of_turn>|<turn\|>|<seed:eos>|\[\|endofturn\|\]))+\s*\Z"
"""End-of-turn tokens behind a turn."""
_CALLS = r"<tool_call>|\[TOOL_CALLS\]|<\|tool_calls?(?:_begin|_section_begin)?\|>|<｜tool▁calls▁begin｜>|<function_calls?>|<\|python_tag\|>"
_CALLS_END = r"(?:</tool_call>|</function_calls?>|<｜tool▁calls▁end｜>|<\|tool_calls_section_end\|>)\s*\Z"

_NAMES = (
    "think|thinks|thinking|thought|thoughts|reason|reasoning|reflection|reflect|scratch_?pad|cot|chain[_ -]of[_ -]thought|"
    "inner[_ -]?monologue|monologue|deliberation|analysis|internal|ponder|rationale|introspection"
)
_UNKNOWN_TAG = (
    rf"(?:<+|&lt;|`+<?|\\u003c)[/|｜\s#:_-]*(?:\w+[:_-])?(?:{_NAMES})(?:[_:-]\w+)*(?:\s[^<>\n]{{0,200}})?[|｜\s:]*(?:>+|&gt;|\\u003e)"
    rf"|(?:\[+|\{{+|\(+|【|《|«|◁)[/|｜\s#:_-]*(?:\w+[:_-])?(?:{_NAMES})(?:[_:-]\w+)*[|｜\s:]*(?:\]+|\}}+|\)+|】|》|»|▷)"
    r"|<details\s[^<>]{0,200}(?:reasoning|think)|<\|channel|<channel\|"
)
"""A mark at the beginning, of any shape, whose name speaks of thinking."""
_UNKNOWN_HEADING = (
    r"[#>*_ \t]{0,9}(?:here(?:'|’)?s?(?: is)? (?:a|my|the) )?(?:thinking|thought|reasoning) process\b[*_ \t]{0,9}:?[*_ \t]{0,9}(?:\n|\d|:)"
    r"|[#*_ \t]{0,9}(?:thinking|thoughts?|inner monologue|chain[- ]of[- ]thought|思考过程?|思考|推理过程)[*_ \t]{0,9}[:：]"
    r"|[#*_]{1,9}[ \t]{0,9}(?:thinking|thoughts?|reasoning|chain[- ]of[- ]thought)[*_ \t]{0,9}\n|(?:thought|thinking|analysis|think)[ \t]{0,9}\n"
)
"""A heading at the beginning that announces a thought."""
_UNKNOWN_CLOSE = (
    r"(?:&lt;|<\\?|\\u003c)\s*\\?/\s*(?:think|thinking|thought)\s*(?:&gt;|>|\\u003e)"
    r"|(?:<[|｜]|【|◁|\{\{|<<|\[\[)\s*(?:/|end[_▁ ]?(?:of[_▁ ])?)\s*(?:think|thinking|thought|reasoning)\b"
)
"""A closing mark, anywhere, that no family has."""


class Patterns(NamedTuple):
    """All regular expressions, compiled."""

    start: "re.Pattern[str]"
    """The opening mark of a family at the beginning: group `f` and the family's number."""
    mark: "re.Pattern[str]"
    """A mark that is telling wherever it stands: group `o` or `c` and the family's number."""
    of_family: tuple["re.Pattern[str]", ...]
    """The marks of each family; group `o` is an opening one."""
    wrapped: tuple["re.Pattern[str]", ...]
    """An answer in each of the answer tags."""
    answer_tag: tuple["re.Pattern[str]", ...]
    lead: "re.Pattern[str]"
    tail: "re.Pattern[str]"
    call: "re.Pattern[str]"
    """A call of a tool at the beginning of what would be the answer."""
    call_end: "re.Pattern[str]"
    unknown_tag: "re.Pattern[str]"
    unknown_heading: "re.Pattern[str]"
    unknown_close: "re.Pattern[str]"


@cache
def patterns() -> Patterns:
    """The regular expressions; compiled at first use, since that takes a tenth of a second."""
    flags = re.IGNORECASE
    alone = [(n, family) for n, family in enumerate(FAMILIES) if family.alone]
    return Patterns(
        start=re.compile("|".join(f"(?P<f{n}>{family.open})" for n, family in enumerate(FAMILIES)), flags),
        mark=re.compile(
            "|".join(f"(?P<o{n}>{family.open})|(?P<c{n}>{family.close})" for n, family in alone), flags
        ),
        of_family=tuple(
            re.compile(f"(?P<o>{family.open})|(?P<c>{family.close})", flags) for family in FAMILIES
        ),
        wrapped=tuple(
            re.compile(rf"\s*{begin}(?P<answer>.*?)(?:{end}\s*)?\Z", flags | re.DOTALL)
            for begin, end in ANSWER_TAGS
        ),
        answer_tag=tuple(re.compile(f"{begin}|(?P<end>{end})", flags) for begin, end in ANSWER_TAGS),
        lead=re.compile(_LEAD),
        tail=re.compile(_TAIL),
        call=re.compile(rf"\s*(?:{_CALLS})"),
        call_end=re.compile(_CALLS_END),
        unknown_tag=re.compile(_UNKNOWN_TAG, flags),
        unknown_heading=re.compile(_UNKNOWN_HEADING, flags),
        unknown_close=re.compile(_UNKNOWN_CLOSE, flags),
    )


_PLACES = re.compile(r"[<\[◁【&\\{]|assistantfinal")
"""Where a mark can begin; to look there alone is ten times as fast."""
_TAIL_ENDS = (">", "]")
"""What the end-of-turn tokens end with."""


def first_mark(text: str) -> "re.Match[str] | None":
    """The first mark anywhere in a text, known (with a group) or not (without)."""
    if not may_have_mark(text):
        return None
    mark, unknown = patterns().mark, patterns().unknown_close
    for place in _PLACES.finditer(text):
        if found := mark.match(text, place.start()) or unknown.match(text, place.start()):
            return found
    return None


def marks_of(number: int, text: str, start: int = 0) -> "list[re.Match[str]]":
    """The marks of one family from some place on; group `o` is an opening one."""
    pattern = patterns().of_family[number]
    if not FAMILIES[number].alone:
        return list(pattern.finditer(text, start))
    if not may_have_mark(text):
        return []
    found, end = [], start
    for place in _PLACES.finditer(text, start):
        if place.start() >= end and (mark := pattern.match(text, place.start())):
            found.append(mark)
            end = mark.end()
    return found


def find_tail(text: str, reach: int) -> "re.Match[str] | None":
    """The end-of-turn tokens behind a turn, looked for from some place on."""
    return patterns().tail.search(text, reach) if text[reach:].rstrip().endswith(_TAIL_ENDS) else None


def may_have_mark(text: str) -> bool:
    """Whether a mark could begin anywhere in a text: a search for each of `_PLACES`, twenty times as fast as one for all."""
    return (
        "<" in text
        or "[" in text
        or "{" in text
        or "\\" in text
        or "&" in text
        or "◁" in text
        or "【" in text
        or "assistantfinal" in text
    )


def may_start(text: str) -> bool:
    """Whether a family's opening mark could stand at the beginning, white space before it left aside: its first letters tell."""
    head = text[:3]
    if head[:1].isspace():
        head = text.lstrip()[:3]
    return head != "" and (head[0] in "<[◁" or (head[:2].lower() in ("th", "he") and head.lower() != "the"))


_HEADS = ("her", "thi", "thı", "tho", "rea", "inn", "cha", "ana")


def may_head(text: str) -> bool:
    """Whether a text that begins with an ASCII letter or digit could begin with a family's opening mark or an unknown heading."""
    return text[:1] in "aAcChHiIrRtT" and text[:3].lower().startswith(_HEADS)


def may_call(answer: str) -> bool:
    """Whether a call of a tool could stand at the beginning or the end of an answer."""
    bare = answer.strip() if answer[:1].isspace() or answer[-1:].isspace() else answer
    return bare[:1] in "<[" or bare.endswith(">")


def table() -> str:
    """The families as a Markdown table, for the docs."""
    lines = ["| family | a response | met at |", "|---|---|---|"]
    for family in FAMILIES:
        example = family.example.replace("\n", "⏎").replace("|", "\\|")
        lines.append(f"| {family.name} | `{example}` | {family.models} |")
    return "\n".join(lines) + "\n"
