"""Losses that a run adds to, or puts in place of, the mean over tokens."""
