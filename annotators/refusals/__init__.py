"""The refusal classifier: a small model over the sentences of an answer."""

from annotators.refusals.annotating import refusals

__all__ = ["refusals"]
