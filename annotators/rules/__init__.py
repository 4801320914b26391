"""Cue banks and rules: annotators without a model."""

from annotators.rules.annotating import annotator

__all__ = ["annotator"]
