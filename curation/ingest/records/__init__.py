"""Rows that APIs, batches and evaluation tools write: requests and responses, logs and samples, to fields."""
