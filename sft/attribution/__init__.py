"""Which rows of a mix taught a model what it does: `sft attribute`."""
