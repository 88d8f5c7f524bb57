"""How this process was started: the words that begin a command which is shown to its user. No torch."""

import sys
from pathlib import Path


def program() -> tuple[str, ...]:
    """``attnbench`` or ``python -m attnbench`` where that is running, ``python -m bench`` otherwise."""
    started = Path(sys.argv[0])
    if started.name == "attnbench":
        return ("attnbench",)
    return ("python", "-m", "attnbench" if started.parent.name == "attnbench" else "bench")
