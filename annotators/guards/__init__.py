"""Guard models as annotators, one file per family."""

from annotators.guards.annotating import FAMILIES, guard, judged_field

__all__ = ["FAMILIES", "guard", "judged_field"]
