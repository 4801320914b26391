"""A language model as a judge, and the search for the words that it quotes."""
