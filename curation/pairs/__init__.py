"""Preference pairs, labels of steps and prompts for trainers other than SFT: `curate build-pairs`."""
