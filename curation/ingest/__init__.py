"""Ingests files and hub data sets into the corpus; invalid rows are quarantined with the reason."""
