"""The parent's side of a worker process: requests with a time limit, and what became of the process.

No torch here: the parent stays light, and torch is imported once, in the fork server.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

from attnbench.bench.registry.triton_files import interpreter_variables
from attnbench.bench.status import RemoteError, WorkerCrashed, WorkerTimeout
from attnbench.bench.timing.pinning import variables
from attnbench.bench.workers.client import Requests
from attnbench.bench.workers.reaper import SERVER_FOLDER
from attnbench.bench.workers.scratch import scratch, token
from attnbench.bench.workers.server import serve
from attnbench.bench.workers.setting import PLAIN, Setting

LOG_TAIL_LINES = 3
SHORT_SPIN = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}
"""OpenMP's threads spin for milliseconds after a parallel region, on cores that the next worker needs.

These keep them spinning within a call (well under a millisecond) and asleep between samples.
A setting of the user's own is left alone.
"""


@cache
def _context() -> ForkServerContext:
    token()  # before the server starts, which hands it on to the workers: the reaper knows them by it
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["attnbench.bench.workers.preload"])
    return context


def start_server() -> None:
    """Let the fork server start, and load torch, while this process goes on; the first worker waits for it.

    Variables for OpenMP are set in the server's environment only.
    """
    _context()
    spin = {} if "OMP_WAIT_POLICY" in os.environ else SHORT_SPIN
    added = {name: value for name, value in (spin | variables()).items() if name not in os.environ}
    os.environ.update(added)
    try:
        ensure_running()
    finally:
        for name in added:
            del os.environ[name]


class Worker(Requests):
    """One process for one implementation; a new one is started after a crash or a time-out."""

    def __init__(self, name: str, device: str, folder: Path, timeout_s: float, setting: Setting = PLAIN) -> None:
        self.name, self.device, self.folder, self.timeout_s = name, device, folder, timeout_s
        interpreted = interpreter_variables(name, device, setting.tree)
        self.setting = replace(setting, variables=(*setting.variables, *interpreted.items()))
        self._log = folder / f"{abs(hash(name))}-{id(self)}.log"
        self._process: Any = None
        self._connection: Any = None

    def _start(self) -> None:
        start_server()  # anew where it was killed
        here, there = _context().Pipe()
        arguments = (there, self.name, self.device, self.folder, self._log, self.setting)
        self._process = _context().Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        there.close()
        self._connection = here

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def _ask(self, method: str, *arguments: object, timeout_s: float | None = None) -> Any:
        """The answer of the worker's `method`; raises what went wrong there, or became of the process."""
        if self._process is None:
            self._start()
        limit = timeout_s or self.timeout_s
        try:
            self._connection.send((method, arguments))
            if not self._connection.poll(limit):
                self.stop()
                raise WorkerTimeout(f"no answer to {method} within {limit:g} s; the worker was killed")
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise WorkerCrashed(self._exit_reason()) from error
        if isinstance(answer, RemoteError):
            if answer.status.needs_fresh_process:
                self.stop()
            raise answer
        return answer

    def _exit_reason(self) -> str:
        """How the process ended, with the last lines that it wrote."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        how = (
            f"was killed by {_signal_name(-code)}" if code is not None and code < 0 else f"exited with code {code}"
        )
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        self.stop()
        return f"the worker {how}" + (": " + " | ".join(lines[:LOG_TAIL_LINES]) if lines else "")

    def stop(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = self._connection = None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Pool:
    """Workers by name, one for the oracle among them, over one scratch folder."""

    ORACLE = ""

    def __init__(self, device: str, folder: Path, timeout_s: float, setting: Setting = PLAIN) -> None:
        self.device, self.folder, self.timeout_s, self.setting = device, folder, timeout_s, setting
        self.uuid = ""  # of the GPU, once a worker has reported it
        self._workers: dict[str, Worker] = {}

    def worker(self, name: str) -> Worker:
        """The worker of an implementation, made when first asked for."""
        if name not in self._workers:
            self._workers[name] = Worker(name, self.device, self.folder, self.timeout_s, self.setting)
        return self._workers[name]

    def fresh(self, name: str, setting: Setting) -> Worker:
        """A worker outside the pool, which the caller stops."""
        return Worker(name, self.device, self.folder, self.timeout_s, setting)

    def register(self, label: str, name: str, setting: Setting) -> Worker:
        """A worker of the implementation `name`, set up so, that goes by `label`."""
        self._workers[label] = self.fresh(name, setting)
        return self._workers[label]

    def describe_later(self, names: Iterable[str]) -> None:
        """Let the reference's worker import the files of `names` as their own workers do."""
        variables = [pair for name in names for pair in interpreter_variables(name, self.device).items()]
        setting = replace(self.setting, variables=(*self.setting.variables, *dict.fromkeys(variables)))
        self._workers[self.ORACLE] = self.fresh(self.ORACLE, setting)

    @property
    def oracle(self) -> Worker:
        """The worker that runs no implementation: it computes expectations and describes the machine."""
        return self.worker(self.ORACLE)

    def pids(self) -> list[int]:
        """Processes of the workers that run."""
        return [worker.pid for worker in self._workers.values() if worker.pid is not None]

    def stop(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.stop()


@contextmanager
def pool(device: str, timeout_s: float, setting: Setting = PLAIN) -> Iterator[Pool]:
    """A pool whose workers and scratch files are gone afterwards, also when this process is killed.

    `setting` is that of the workers that are asked for by name.
    """
    with scratch() as folder:
        start_server()
        (folder / SERVER_FOLDER).write_text(get_temp_dir(), encoding="utf-8")
        workers = Pool(device, folder, timeout_s, setting)
        try:
            yield workers
        finally:
            workers.stop()
