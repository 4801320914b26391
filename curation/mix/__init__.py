"""From a corpus and a recipe to a training mix."""
