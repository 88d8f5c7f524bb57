"""Is it right: inputs, budgets, properties, side effects, judged by the oracle."""
