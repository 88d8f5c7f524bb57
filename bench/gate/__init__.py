"""What changed: statistics, verdicts."""
