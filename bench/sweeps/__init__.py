"""Which cases: axes, products, presets, TOML files."""
