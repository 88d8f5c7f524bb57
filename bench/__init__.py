"""What is done with implementations: choose cases, check, time, store, compare."""
