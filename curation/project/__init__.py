"""A project folder: made by `curate init`, run by `curate run`; and what the machine that it lies on has."""
