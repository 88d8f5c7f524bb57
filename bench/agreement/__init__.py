"""Is it right: inputs, the float64 reference, budgets, properties, side effects, hints."""
