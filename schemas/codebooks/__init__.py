"""Codebooks: YAML files of what can be judged, and their model (`entries`). The files here are shipped."""

from schemas.codebooks.entries import CODEBOOK_NAME, Codebook, Combination, Pattern
from schemas.codebooks.shipped import shipped, shipped_names

__all__ = ["CODEBOOK_NAME", "Codebook", "Combination", "Pattern", "shipped", "shipped_names"]
