"""Processes: the fork server, a process for each implementation, and the requests to them."""
