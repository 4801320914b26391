"""Cue banks and rules: judges without a model."""

from annotators.rules.annotating import annotator

__all__ = ["annotator"]
