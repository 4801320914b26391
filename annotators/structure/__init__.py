"""Reasoning structures: the parts that a reasoning should have, in a file; what is asked, printed and checked is made from it."""

from annotators.structure.annotating import annotator
from annotators.structure.grammar import Structure, shipped, shipped_names

__all__ = ["Structure", "annotator", "shipped", "shipped_names"]
