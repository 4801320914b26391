"""ShieldGemma (Google): one question per policy, each answered with Yes (violated) or No."""

from collections.abc import Sequence

from annotators.base import Conversation
from annotators.filling import fill
from annotators.guards.base import Finding, GradedWord, Guard, first_word, prompt_file


def policies() -> dict[str, str]:
    """The policies by name."""
    lines = prompt_file("shieldgemma_policies.txt").strip().split("\n")
    return {line.partition(":")[0]: line for line in lines}


def ask(template: str, prompt: str, text: str) -> list[Conversation]:
    """One question per policy."""
    filled = (fill(template, prompt=prompt, response=text, policy=policy) for policy in policies().values())
    return [[{"role": "text", "content": content}] for content in filled]


def parse(replies: Sequence[str]) -> Finding | None:
    """Unsafe if any policy is violated, safe only if every reply says No."""
    broken = [first_word(reply, {"yes": True, "no": False}) for reply in replies]
    if True in broken:
        said = dict(zip(policies(), broken, strict=True))
        names, unread = (tuple(name for name in said if said[name] is what) for what in (True, None))
        return Finding(True, detail=", ".join(names), categories=names, unread=unread)
    return None if None in broken else Finding(False)


GUARD = Guard(
    "shieldgemma", ("unsafe",), ("reasoning", "answer"), ask, parse, "shieldgemma.txt", max_tokens=4,
    categories=tuple(policies()),
    unsafe_word=GradedWord("", {"yes": 1.0, "no": 0.0}),
)  # fmt: skip
