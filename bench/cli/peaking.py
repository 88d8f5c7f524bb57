"""The peaks of the device, for those who refuse times that can't be true."""

from attnbench.bench.records.schema import Environment, Peaks
from attnbench.bench.status import WorkerFailure
from attnbench.bench.sweeps import Sweep
from attnbench.bench.workers.process import Pool


class Peaking:
    """The measured peaks of the device for the dtypes of a sweep, from the cache where they are known."""

    def __init__(self, pool: Pool, environment: Environment, sweep: Sweep) -> None:
        self.pool, self.environment = pool, environment
        self.dtypes = tuple(sorted({case.dtype for case in sweep.cases}))
        self.known: Peaks | None = None

    def __call__(self, again: bool) -> Peaks | None:
        """The peaks; with `again`, the better of those and of a new measurement. None where that fails, for memory, say."""
        if self.known is None or again:
            try:
                self.known = self.pool.oracle.peaks(self.environment, self.dtypes, again=again)
            except WorkerFailure:  # without peaks nothing is called impossible, and the report draws no roof
                return self.known
        return self.known
