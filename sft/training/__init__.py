"""Training on a mix, and what a run leaves."""
