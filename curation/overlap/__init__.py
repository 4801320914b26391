"""Texts that are alike: within a corpus (`dedup`), and with evaluation sets (`decontaminate`)."""
