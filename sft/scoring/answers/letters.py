r"""Answers to multiple-choice questions (GPQA): the letter that an answer chooses.

A box has priority, then the last statement ("the answer must be C", "I would pick B", "B is correct"), then a line that is an option.
A statement beats a later mention. An answer without any of these has no letter: "A" is also an article and "I" a pronoun.
"""

import re

_REFERENCE = re.compile(r"^\(?([A-J])\)?\.?$")
_MARKUP = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|textrm|bf|rm)\b\s*|\*\*|__|\\[()\[\]]|[${}*`]"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_IN_BOX = re.compile(
    r"^\s*(?i:(?:the\s+)?(?:final\s+|correct\s+)?(?:answer|option|choice)\s*(?:is\b)?:?\s*)?[(\[]?([A-J])(?:[)\].:,]|\s*$|\s+(?![a-z=<>+*/^]|-\s|\\(?!q?quad)))"
)
_LETTER = r"(?:the\s+)?(?:(?:option|choice|answer|letter|alternative|statement)\s+)?(?P<open>[(\[\"'“]?)\s*(?<![A-Za-z])(?P<letter>[A-J]|(?<=[(\[])[a-j]|[b-hj](?=[).\]\s]*(?:\n|$)))\s*(?P<close>[)\]\"'”]?)(?![\w'’]|\s*=|-\w)"
_CAPITAL = _LETTER.replace("[A-J]|", "(?-i:[A-J])|", 1).replace(r"|[b-hj](?=[).\]\s]*(?:\n|$))", "")
_NOUN = r"\b(?:answer|option|choice|solution|response|selection|pick|letter|alternative|conclusion|final|statement|(?:correct|right) one|correct(?=\s*:))\b[\"']?"
_IS = (
    r"(?:\s*(?:is|must be|should be|would be|has to be|will be|can only be|ought to be|remains|turns out to be|seems to be|appears to be)"
    r"(?:\s+(?:therefore|thus|clearly|then|hence|definitely|indeed|simply|most likely|probably|likely|still|only|actually|just|given by|not\s+\(?[A-J]\)?,?\s+but)|,\s*[^.,\n]{1,25},)?\s*[:,]?|\s*[:=→–—]|\s*-+>?)"
)
_STATEMENTS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_NOUN}(?:\s+(?:to|of|for|among|from|here|that|which|i)\b[^.:\n]{{0,60}}?)?{_IS}\s*{_LETTER}",
        rf"\b(?:answer|choice|selection|pick)\s+{_LETTER}(?=\s*[.,;!]?\s*(?:\n|$))",
        rf"\b(?:pick|choose|chose|select|selected|picked|go(?:ing)? with|went with|opt(?:ing)? for|settle on|lean(?:ing)? towards?|vote for|confident (?:in|of|about)|sure (?:of|about)|need|guess(?:ing)?|mark|circle|say|answer with|choosing|selecting|picking)\s+{_LETTER}",
        rf"\b(?:leaves?|leaving|left with|points? to|pointing to|match(?:es|ing)?|corresponds? to|agrees? with|gives?|giving|yields?|equals|leads? (?:us )?to|which is|that is|that's|that makes|it is|it's|it must be|this is|must be|has to be|should be|namely|i\.e\.|conclude)"
        rf"(?:\s+(?:only|just|us|exactly|clearly|definitely|certainly|probably|likely|therefore|to))?\s*:?\s+{_CAPITAL}(?:(?<=[)\]])|(?=\s*(?:[.,;:!]|\n|$|\b(?:because|since|as)\b)))",
        rf"(?:\b(?:so|thus|therefore|hence|consequently|ergo|conclusion)\b|∴)\s*[,:]?\s+{_LETTER}(?=\s*(?:[.,;!]|\n|$))",
        rf"\b(?:wait|no|actually|correction|scratch that|rather)\b\s*[,:;–—-]+\s*(?:no\b[,:]?\s*)?(?:it is|it's)?\s*{_LETTER}(?=\s*[.!]?\s*(?:\n|$))",
        rf"{_LETTER}\s*(?:[:.]?\s(?:(?!\b(?:is|are|must|has|would|should)\b)[^.\n]){{0,80}}?)?\s*(?:is|must be|has to be|would be|should be)\s+(?:therefore\s+|thus\s+|clearly\s+|indeed\s+|definitely\s+|the\s+only\s+|the\s+)*(?:correct|right|answer|true|best|one that|my (?:answer|choice|pick)|what|(?:option|choice|statement) (?:that|which)|(?:final|most\s+\w+)\s+(?:answer|choice|option))\b(?!\s+(?:only|if)\b)",
        rf"(?:option|choice|statement|alternative)\s+{_LETTER}\s+(?:best|most|correctly|alone|only)?\s*(?:describes?|explains?|matches|fits|satisfies|holds|works|agrees|follows|captures|reflects|represents)\b",
        r"(?-i:\b(?P<open>)(?P<letter>[B-HJ])(?P<close>[)\]]?))\s+(?:best\s+)?(?:matches|fits|satisfies|holds|works)\b",
        rf"\bonly\s+{_LETTER}\s+(?:is\s+)?(?:consistent|possible|valid|left|remains|remaining|survives)\b",
        rf"{_LETTER}\s+it\s+(?:is|must be)\b",
        rf"<(?:answer|final|choice)>\s*{_LETTER}",
        # German, French, Spanish, Italian, Portuguese, Russian; Chinese
        rf"\b(?:antwort|lösung|réponse|respuesta|risposta|resposta|ответ)\b[^.:\n]{{0,40}}?(?:\s*[:：=–—]|\s+(?:ist|lautet|est|es|è|é)\b)\s*(?:(?:die|la|el|le|il|a|opción|option|вариант)\s+)*{_LETTER}",
        rf"(?:答案|选项|选择|选)\s*(?:是|为|应为|应该是)?\s*[:：]?\s*{_LETTER}",
        rf"(?:^|\n)\s*(?!I,){_LETTER}\s*(?:,|-|–|—|because\b|since\b)",
    )
]
_LINE = re.compile(
    r"^\s*(?:[-•>#]\s*)?(?:(?i:option|choice)\s+)?[(\[]?([A-J])(?:[)\]]\.?|[.:])?(?P<text>\s*$|(?<=[).\]:])\s+\S.*$)"
)
_ALONE = re.compile(r"^\s*[(\[]?([A-Ja-j])(?:[)\].!]*|[)\].]+\s+\S[^\n]*)\s*$")
"""A whole answer, in upper or lower case; what the option says may follow."""
_SENTENCE = re.compile(r"(?:[.!?](?=\s)|\n)\s*")
_REVOKED = re.compile(
    r"\b(?:first thought|initially|at first|might (?:think|say|seem|pick|choose)|may (?:think|seem)|could (?:think|say)|some(?:one)? (?:would|will|may|might|say|think)"
    r"|tempt\w*|if (?:the|it|we|i|you)|were\b|suppose|assum\w+|instead of|rather than|(?:this|that|which|it|and that) (?:is|was|would be) (?:wrong|incorrect|not)"
    r"|students?|people|not sure whether|whether|unless|common mistake|trap)\b",
    re.IGNORECASE,
)
_SECOND = re.compile(
    r"^\s*(?:or|and|/|,)\s*(?:option\s+|choice\s+)?[(\[]?[A-J]\b(?!\s+(?:is|are|was|fails?|has|cannot|can't|does)\b)"
)
_FOLLOWS_A = re.compile(
    r"^\s+(?!(?:because|since|as|is|for|which|due|not|rather|and|but|by|here|must|has|would|should)\b)[a-z]"
)
_FOLLOWS_I = re.compile(r"^\s+(?!(?:because|since|as|is)\b)[a-z]")


def reference_letter(reference: str) -> str | None:
    r"""The letter of `B`, `(B)` or `\text{(B)}`; null for anything else."""
    match = _REFERENCE.match(_plain(reference).strip())
    return match[1] if match else None


def chosen_letter(answer: str) -> str | None:
    """The chosen letter; null if there is none, or more than one."""
    boxes = [_plain(content) for content in _BOX.findall(answer)]
    for content in reversed(boxes):
        match = _IN_BOX.match(content)
        if match and not _SECOND.match(content[match.end(1) :].lstrip(") ]")):
            return match[1]
    text = _plain(_BOX.sub(" ", answer))
    return _stated(text) or _listed(text)


def _plain(text: str) -> str:
    return _MARKUP.sub("", text).replace("\\ ", " ").replace("’", "'")


def _stated(text: str) -> str | None:
    """The letter of the last statement that its own sentence does not take back."""
    found = [
        (match.start("letter"), match["letter"].upper())
        for pattern in _STATEMENTS
        for match in pattern.finditer(text)
        if _is_choice(match) and not _taken_back(match)
    ]
    return max(found)[1] if found else None


def _is_choice(match: re.Match[str]) -> bool:
    rest = match.string[match.end("letter") :]
    if _SECOND.match(rest.lstrip(")]\"'”")):
        return False
    if match["close"] or match["letter"] not in "AI":
        return match["letter"].isupper() or bool(match["close"]) or not rest.strip(" .)]").split("\n")[0]
    return not (_FOLLOWS_A if match["letter"] == "A" else _FOLLOWS_I).match(rest)


def _taken_back(match: re.Match[str]) -> bool:
    text = match.string
    starts = [end.end() for end in _SENTENCE.finditer(text, 0, match.start())]
    begins = starts[-1] if starts else 0
    ends = _SENTENCE.search(text, match.end("letter"))
    sentence = text[begins : ends.start() if ends else len(text)]
    # "first I thought the answer is A, but it is D": only the clause of the letter counts
    before = re.split(r"\b(?:but|however|yet)\b", text[begins : match.end("letter")])[-1]
    after = re.split(
        r"\b(?:but|because|since|as|rather than|instead of)\b", sentence[match.end("letter") - begins :]
    )[0]
    wrong = re.match(
        r"[)\]\"'”]*,?\s*(?:is|was|fails|cannot|can't|isn't|doesn't)\b(?=\s+(?:not|wrong|incorrect|false))",
        after,
    )
    return bool(_REVOKED.search(before) or _REVOKED.search(after) or wrong)


def _listed(text: str) -> str | None:
    """The letter that is all there is, or of the last line if it is an option, else the only option that has a line of its own."""
    if alone := _ALONE.match(text):
        return alone[1].upper()
    lines = [match for line in text.strip().splitlines() if line.strip() and (match := _LINE.match(line))]
    bare = [match[1] for match in lines if not match["text"].strip()]
    letters = {match[1] for match in lines}
    last = next((line for line in reversed(text.strip().splitlines()) if line.strip()), "")
    if bare and (found := _LINE.match(last)) and not found["text"].strip():
        return found[1]
    if len(set(bare)) == 1:
        return bare[0]
    return letters.pop() if len(letters) == 1 else None
