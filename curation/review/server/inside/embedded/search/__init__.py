"""A search engine for argilla-server 2.8 that needs no Elasticsearch.

Every question is answered from Argilla's own SQLite database, so there is no second copy of the data, nothing to index
and nothing that can fall out of step.
"""
