"""The commands of `curate`, a file for each group, and what all command lines share."""
