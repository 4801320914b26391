"""Running annotators on a corpus, their agreement and calibration."""
