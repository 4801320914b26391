"""Duplicate prompts and traces."""
