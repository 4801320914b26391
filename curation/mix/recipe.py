"""The mix recipe. Few fields that compose: special requirements for some traces are a part of their own.

The surprise: `ratios` never fills up from another stratum. If one is short, that is a shortage, or (`take: all`) the others shrink
with it, so that the ratio holds.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from curation.recipe import Recipe
from curation.review import gate
from schemas.choices import Policy

Shortage = Literal["error", "take_all"]
Count = Annotated[int, Field(ge=1)]
OTHERS = "*"
"""In `ratios`: all other values."""


def _as_text(weights: Any) -> Any:
    """YAML reads true, null and 3 as values; in SQL they are compared as text."""
    if not isinstance(weights, dict):
        return weights
    words = {True: "true", False: "false", None: "null"}
    return {
        words[key] if key is None or isinstance(key, bool) else str(key): value
        for key, value in weights.items()
    }


Weights = Annotated[
    dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    Field(min_length=1),
    BeforeValidator(_as_text),
]


class Part(Recipe):
    """One part of a mix: which traces, how many of them, in what form."""

    where: str
    """A boolean SQL expression over the `candidates` view (docs/data-format.md)."""
    take: Count | Annotated[float, Field(gt=0, le=1)] | Literal["all"] = "all"
    """How many rows: a count, a fraction of the traces that match (0.25), or all."""
    stratify_by: tuple[str, ...] = ()
    """Columns of `candidates`; each combination of their values is a stratum, and the draw keeps their proportions. Of several
    labels in `category`, the rarest counts."""
    ratios: dict[str, Weights] = Field(default_factory=dict)
    """Column -> value -> weight: proportions other than the corpus has. Values that are not named are left out, unless
    "*" is; "null" stands for no value. The columns join `stratify_by`."""
    at_least: Count | None = None
    """Rows of every stratum, as far as it has them."""
    at_most: Count | None = None
    """Rows of any stratum."""
    repeat: Count = 1
    """Up-sampling: use a trace up to so many times to reach `take` (with `all`: exactly so many times)."""
    per_prompt: Count | None = None
    """Traces of one prompt in this part."""
    draw_by: Literal["trace", "prompt"] = "trace"
    """With `prompt`, all traces of a prompt are drawn together, and other recipes with this seed draw the same prompts."""
    rewrite: str | None = None
    """Put the reasoning into another form by rule: `short`, `template`, or the path of a template file."""
    max_tokens: Count | None = None
    """Exclude traces longer than this (before rewriting); the recipe's `max_tokens` by default."""
    on_shortage: Shortage | None = None
    """If fewer traces can be used than requested: stop with an error, or take them all; the recipe's by default."""

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns whose values make the strata."""
        return (*self.stratify_by, *(column for column in self.ratios if column not in self.stratify_by))


class MixRecipe(Recipe):
    """The recipe of a mix."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    description: str = ""
    seed: int = 42
    parts: Annotated[dict[str, Part], Field(min_length=1)]
    """Parts by name, in order; a trace that matches several goes to the first that takes it."""
    per_prompt: Count | None = None
    """Traces of one prompt in the whole mix; earlier parts come first."""
    order_by: tuple[str, ...] = ()
    """Curriculum: SQL expressions over `candidates`, `part` (in the recipe's order) and `tokens`, ascending; shuffled
    where they are equal, and wholly without them."""
    validation: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the prompt families that in the validation split; a family is never split."""
    max_tokens: Count | None = None
    tokenizer: str | None = None
    """A folder with tokenizer.json for exact token counts; without it, recorded counts or UTF-8 bytes / 4."""
    on_shortage: Shortage = "error"
    consensus: Policy = "ranked"
    """The consensus policy: ranked, majority, weighted or dawid_skene (docs/annotators.md)."""
    agreement: gate.AgreementWish | None = None
    """How far reviewers must agree on each pattern before a mix may be built on this corpus."""
    allow_benchmarks: tuple[str, ...] = ()
    """Benchmarks whose prompts may still be included; traces contaminated by any other are rejected (`curate decontaminate`)."""
    licenses: dict[str, str] = Field(default_factory=dict)
    """Source -> licence, for the card; the card says which sources have none."""
    jsonl: bool = False
    """Also write train.jsonl."""

    def shortage_rule(self, part: Part) -> Shortage:
        """What to do where a part is short."""
        return part.on_shortage or self.on_shortage
