"""Reports on corpora and mixes, and the reasons behind each row."""
