"""A real Argilla server in one process, on SQLite alone. This package runs inside the server's own environment.

Nothing in here may import the rest of the project: that environment holds argilla-server 2.8.0 and its pins, which no
other environment could satisfy. Start it with `python -m embedded --home DIR`.
"""
