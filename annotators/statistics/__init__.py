"""What is counted of annotators: agreement, calibration, consensus, intervals."""
