"""Runs model-written programs, only ever in a sandbox."""
