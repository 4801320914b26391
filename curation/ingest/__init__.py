"""Files and hub data sets into the corpus, each bad row set aside with its reason."""
