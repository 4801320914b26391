"""Intervals for rates, as scores print them; they are computed in `annotators.intervals`, which annotators share."""

from annotators.intervals import Interval, wilson

__all__ = ["Interval", "wilson"]
