"""What is in a corpus and its mixes, and why."""
