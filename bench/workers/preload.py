"""Imported once by the fork server, so that each worker starts with torch in memory.

Nothing here may start threads or touch a GPU: the server is forked for every worker.
"""

# Imported for their effect: what every worker needs for its first request.
import attnbench.bench.agreement.check
import attnbench.bench.agreement.properties
import attnbench.bench.timing.timer
import attnbench.bench.workers.server  # noqa: F401 - as above
