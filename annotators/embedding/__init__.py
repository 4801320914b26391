"""Sentence vectors and small heads, alone and together with the rules."""

from annotators.embedding.annotating import embedding, ensemble

__all__ = ["embedding", "ensemble"]
