"""Processes: the fork server, a process for each implementation, and what they are asked and answer."""
