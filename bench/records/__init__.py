"""What is kept: the schema of a run, its file, the machine that made it."""
