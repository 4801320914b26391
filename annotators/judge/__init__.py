"""A language model as a judge, and the search for the passages that it quotes."""
