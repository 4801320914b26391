"""The embedded review server: a real Argilla with its web UI on this machine, without Docker, Elasticsearch or Redis.

It lives in an environment of its own (`environment`), since its pins fit no other; this project talks to it over HTTP
only. What runs in there is `inside/embedded`.
"""
