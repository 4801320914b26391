"""What `sft attribute` ranks rows for, and how."""

from typing import Annotated

from pydantic import Field

from curation.recipe import Recipe
from schemas.choices import InfluenceMethod, InfluenceSimilarity
from sft.attribution.behaviours import BehaviourChoice


class AttributeRecipe(Recipe):
    """The recipe of `sft attribute`."""

    method: InfluenceMethod = "gradients"
    similarity: InfluenceSimilarity = "product"
    """Of gradients. Cosines take no notice of how much a row taught, nor of its length."""
    projection: Annotated[int, Field(ge=0)] = 8192
    """Numbers kept of each gradient; 0: exact products with these behaviours, which other behaviours cannot use again."""
    seed: int = 0
    """Of the projection."""
    suite: str | None = None
    measure: str | None = None
    category: str | None = None
    prompt_id: str | None = None
    limit: Annotated[int, Field(ge=1)] = 100
    """At most so many replies with the measure, and without, drawn by hash."""

    @property
    def wanted(self) -> BehaviourChoice:
        """Which outcomes are meant."""
        return BehaviourChoice(self.suite, self.measure, self.category, self.prompt_id, self.limit)
