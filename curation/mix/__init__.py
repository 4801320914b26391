"""Building training mixes from a corpus and a recipe."""
