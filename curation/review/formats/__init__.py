"""File formats of other labelling tools."""
