"""The closed sets that a user chooses from, for recipes, options and the code that handles them.

They stand in a file of their own, so that the command line knows them before it loads anything: a bad choice is a usage error
that lists the good ones.
"""

from collections.abc import Iterable
from typing import Any, Literal, get_args

from schemas.errors import UsageError

PromptKind = Literal["harmful", "benign", "math", "code"]
"""What a prompt is for."""
EngineKind = Literal["auto", "vllm", "transformers", "openai", "ray"]
"""What runs a model."""
Think = Literal["as_is", "zero", "less", "more"]
"""How long a model thinks: as it likes, not at all, a short fixed thought, one more round."""
ScoredThink = Literal["as_is", "zero", "less"]
"""The same, where models are scored."""
Policy = Literal["ranked", "majority", "weighted", "dawid_skene"]
"""How annotators that differ come to one verdict: ranked is people, then judges and guards, then models, then rules; majority is
people, then all others alike."""
ReviewTool = Literal["jsonl", "label-studio"]
"""Whose file a review round is written as: one JSON object a line for any tool, or Label Studio's tasks."""
DedupMethod = Literal["exact", "near", "semantic"]
"""How texts are compared to find duplicates."""
OverlapMethod = Literal["ngram13", "ngram8", "near", "semantic"]
"""How texts are compared with those of a benchmark."""
Teacher = Literal["refusals", "kind"]
"""Whose decisions a safety classifier learns."""
Tier = Literal["full", "masked", "ids"]
"""How much of a mix's text is given away."""
ExportFormat = Literal["messages", "prompt-completion", "sharegpt", "alpaca", "study"]
"""Formats of other trainers."""
TrainerName = Literal["axolotl", "llama-factory"]
"""Trainers that an export is a folder for, config and all."""
MixSplit = Literal["train", "validation"]
"""The splits of a mix."""
ChatTemplate = Literal["think", "deepseek-r1", "qwen3", "gpt-oss"]
"""Chat templates that differ in where they take the reasoning from."""
Device = Literal["cpu", "a100-40", "a100-80", "h100", "h200", "l40s", "rtx4090"]
"""GPUs whose memory and speed are known, and this machine's CPU."""
Sharding = Literal["none", "zero2", "zero3"]
"""What of a training run is spread over devices."""
Dtype = Literal["auto", "bfloat16", "float16", "float32"]
"""The precision of a model's weights while it runs; auto: what the hardware is fast in."""
SavedDtype = Literal["bfloat16", "float32", "auto"]
"""How weights are saved; auto: as they are."""
LossOn = Literal["last", "all"]
"""Which turns of the assistant are learned."""
ControlPolicy = Literal["refuse", "escape", "allow"]
"""What becomes of a row with a control token of the model inside a text."""
InfluenceMethod = Literal["gradients", "states", "loss"]
"""How the influence of a row of a mix on a model's behaviour is estimated."""
InfluenceSimilarity = Literal["product", "cosine"]
"""How two gradients are compared: by their product (TracIn) or their cosine (LESS)."""
RowGroup = Literal["part", "strategy", "source", "category", "kind", "pattern", "cluster"]
"""What rows of a mix are grouped by; clusters are near-duplicate prompts, which the corpus knows."""
GroupChange = Literal["drop", "double"]
"""What becomes of a group of rows in a mix."""
TableFormat = Literal["markdown", "csv", "latex"]
"""How a comparison is printed."""


def meant(name: object, known: Iterable[object], likeness: float = 0.6) -> str:
    """`; did you mean 'x'?` where a known name is near, from a likeness of 0 to 1 on, else an empty text."""
    from difflib import get_close_matches

    spelled = {str(one).lower(): str(one) for one in known}
    near = get_close_matches(str(name).lower(), spelled, 1, likeness)
    return f"; did you mean {spelled[near[0]]!r}?" if near else ""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse what is none of the choices, for callers that no type checker and no command line has checked.

    Args:
        name: what is chosen.
        value: the choice.
        choices: one of the sets above.

    Raises:
        UsageError: listing the choices.
    """
    if value not in get_args(choices):
        known = get_args(choices)
        raise UsageError(
            f"{name}: {value!r} is not one of {', '.join(map(repr, known))}{meant(value, known) or '.'}"
        )


ReviewOrder = Literal["disagreement", "uncertainty", "diversity"]
"""What a review round shows first."""
