"""Checking corpora and mixes, setting damage aside, and forgetting rows."""
