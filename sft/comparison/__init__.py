"""Scored models side by side."""
