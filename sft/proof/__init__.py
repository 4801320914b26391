"""Checks which tokens of a row carry loss, before training."""
