"""Similar texts: within a corpus (`dedup`), and with evaluation sets (`decontaminate`)."""
