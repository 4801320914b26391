"""Deduplication of prompts and traces."""
