"""Evaluation prompts in the corpus."""
