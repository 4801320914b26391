"""A small encoder fine-tuned on labelled traces, alone and together with the rules."""

from annotators.embedding.annotating import embedding, ensemble

__all__ = ["embedding", "ensemble"]
