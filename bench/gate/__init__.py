"""What changed: launches of two sides compared, verdicts whose error rates are measured."""
