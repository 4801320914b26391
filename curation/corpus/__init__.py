"""A folder of Parquet parts: written whole, queried in memory."""
