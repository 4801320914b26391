"""Guard models as annotators, one file per family."""

from annotators.guards.annotating import FAMILIES, guard

__all__ = ["FAMILIES", "guard"]
