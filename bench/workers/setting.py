"""How a worker's process is set up, given before it starts. No torch until the worker applies it."""

import os
from dataclasses import dataclass
from pathlib import Path

from attnbench.bench.registry.declarations import NO_OPTIONS, Options, use_options
from attnbench.bench.workers import interpreter


@dataclass(frozen=True)
class Setting:
    """How a worker's process is set up before it does anything.

    `cpus` it is pinned to (none: wherever the system puts it), `threads` torch may use
    (0: torch's own choice), variables set in its environment, the `tree` (called
    `revision`) whose implementations it runs instead of this checkout's, and what the
    `options` of the command say of a user's functions.
    """

    cpus: tuple[int, ...] = ()
    threads: int = 0
    variables: tuple[tuple[str, str], ...] = ()
    tree: Path | None = None
    revision: str = ""
    options: Options = NO_OPTIONS

    def take(self) -> None:
        """Apply the setting to this process."""
        os.environ.update(self.variables)
        if ("TRITON_INTERPRET", "1") in self.variables:
            interpreter.start()
        use_options(self.options)
        if self.cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cpus)
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        if self.tree is not None:
            from attnbench.bench.registry.checkout import use_checkout

            use_checkout(self.tree, self.revision)


PLAIN = Setting()
