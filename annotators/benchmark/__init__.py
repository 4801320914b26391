"""The labelled set that annotators are tuned on and measured with; README.md describes it."""

from annotators.benchmark.labelled import SPLITS, Labelled, Split, load

__all__ = ["SPLITS", "Labelled", "Split", "load"]
