"""Comparison of scored models."""
