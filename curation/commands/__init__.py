"""The commands of `curate`, one file per group, and what all command lines share."""
