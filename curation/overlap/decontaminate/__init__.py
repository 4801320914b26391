"""Decontamination: evaluation prompts in the corpus."""
