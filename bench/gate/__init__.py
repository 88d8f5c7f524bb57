"""What changed: trials in pairs, the rule that decides from them, stored runs against each other."""
