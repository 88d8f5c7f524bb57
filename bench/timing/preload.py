"""Imported once by the fork server, so that each worker starts with torch in memory.

Nothing here may start threads or touch a GPU: the server is forked for every worker.
"""

# Imported for their effect: what every worker needs for its first request.
import bench.agreement.check
import bench.agreement.properties
import bench.timing.timer
import bench.timing.worker  # noqa: F401 - as above
