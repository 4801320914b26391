"""Training on a mix, and inspecting and exporting runs."""
