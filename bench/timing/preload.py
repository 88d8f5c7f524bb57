"""Imported once by the fork server, so that each worker starts with torch in memory.

Nothing here may start threads or touch a GPU: the server is forked for every worker.
"""

import impls.reference  # noqa: F401 - imported for its effect
