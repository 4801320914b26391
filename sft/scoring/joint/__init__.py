"""Joint suites: each question asked plainly and inside an attack, and both replies reported together."""
