"""The Python API: a few lines around the stages, as the commands are. `from curation import Corpus, Mix`."""
