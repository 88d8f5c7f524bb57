"""What changed: revisions side by side, launches, the rule that judges them, and verdicts. No torch."""
