"""A model answers the prompts of a corpus under distillation strategies."""
