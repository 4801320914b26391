"""Reads short answers: where they are, numbers, units, ranges."""
