"""Scores a model: replies, judging, rates."""
