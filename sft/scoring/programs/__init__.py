"""Programs that models wrote, run in a sandbox or not at all."""
