"""The corpus: a folder of Parquet parts, queried in memory."""
