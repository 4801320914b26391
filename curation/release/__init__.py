"""Mixes for others: exported, redacted, published."""
