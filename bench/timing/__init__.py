"""How fast: clocks, samplers, isolation."""
