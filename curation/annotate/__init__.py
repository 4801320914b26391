"""Annotators over a corpus: what they found, how far they agree, and how far they are right."""
