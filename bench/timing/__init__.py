"""How fast: clocks, samples in rounds, conditions of the machine."""
