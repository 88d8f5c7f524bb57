"""A stored run against a stored baseline."""
