"""Codebooks of a lab's own: their files, and the corpora that know them."""
