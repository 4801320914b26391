"""Generates traces for the prompts of a corpus under distillation strategies."""
