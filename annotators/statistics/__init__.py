"""Statistics of annotators: agreement, calibration, consensus, intervals."""
