"""Exporting, redacting and publishing mixes."""
