"""The child's side of a worker process: answers requests about one implementation, one at a time."""

import ctypes
import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from attnbench.bench.records.schema import Comparison, Peaks
from attnbench.bench.status import MissingPackage, RemoteError, own_frames, status_of
from attnbench.bench.timing.device import Device
from attnbench.bench.timing.pinning import MainThread, let_free, pinned, why_not
from attnbench.bench.workers import interpreter
from attnbench.bench.workers.answers import CheckAnswer, CloseAnswer, Description, OpenAnswer, Unnoticed, Unusable
from attnbench.bench.workers.setting import PLAIN, Setting

MEMORY_SHARE = 0.9
PR_SET_PDEATHSIG = 1


class Server:
    """Answers requests; each public method is one request."""

    def __init__(self, name: str, device: str, folder: Path) -> None:
        from attnbench.bench.agreement.oracle import Oracle

        self.name, self.device = name, device
        self.oracle = Oracle(folder, device)
        self.timer: Any = None
        self.main_thread = MainThread()
        self._spread = bytearray()
        self.accelerator: Device | None = None  # a device in place of torch's own

    def _implementation(self) -> Any:
        from attnbench.bench.registry.catalogue import find, why_unavailable
        from attnbench.bench.registry.checkout import require_own_modules

        found = find(self.name)
        require_own_modules()
        if reason := why_unavailable(found, self.device):
            raise MissingPackage(reason)
        return found

    def describe(self, names: tuple[str, ...]) -> list[Description | Unusable]:
        """The implementations of these names; of all that there are without one."""
        from attnbench.bench.registry.catalogue import (
            UnknownImplementation,
            catalogue,
            find,
            installed_version,
            why_unavailable,
        )
        from attnbench.bench.registry.loading import UserFileError

        def one(name: str) -> Description | Unusable:
            try:
                found = find(name)
            except (UnknownImplementation, UserFileError) as error:
                return Unusable(str(error))
            package = found.requires[0].package if found.requires else "torch"
            return Description(
                name=found.name,
                summary=found.summary,
                devices=found.devices,
                features=found.features,
                dtypes=found.dtypes,
                unavailable=why_unavailable(found, self.device),
                version=f"{package} {installed_version(package) or '-'}",
                known_limits=dict(found.known_limits),
            )

        return [one(name) for name in names or tuple(catalogue())]

    def supports(self, names: tuple[str, ...], case: Any) -> dict[str, str | None]:
        """Why each implementation can't do a case; None where it can."""
        from attnbench.bench.registry.catalogue import find, why_unavailable

        found = {name: find(name) for name in names}
        return {
            name: why_unavailable(one, self.device) or one.supports(case, self.device)
            for name, one in found.items()
        }

    def refusals(self, name: str, cases: tuple[Any, ...]) -> list[str | None]:
        """For each case the reason why one implementation can't do it; None where it can."""
        from attnbench.bench.registry.catalogue import find

        found = find(name)
        return [found.supports(case, self.device) for case in cases]

    def features(self, names: tuple[str, ...]) -> list[Any] | Unusable:
        """Whether each implementation does each feature, on a CPU, on CUDA and on this worker's device."""
        from attnbench.bench.registry.catalogue import UnknownImplementation, catalogue, find
        from attnbench.bench.registry.features import row_of
        from attnbench.bench.registry.loading import UserFileError

        try:
            return [row_of(find(name), self.device) for name in names or tuple(catalogue())]
        except (UnknownImplementation, UserFileError) as error:
            return Unusable(str(error))

    def conventions(self, seed: int) -> list[Any]:
        """Which conventions this worker's implementation follows, found by trying them."""
        from attnbench.bench.agreement.probes import tried

        return tried(self._implementation(), self.oracle, seed)

    def machine(self) -> dict[str, str] | Unusable:
        """Facts of this machine that need torch."""
        from attnbench.bench.timing.machine import DeviceError, torch_facts

        try:
            return torch_facts(self.device)
        except DeviceError as error:
            return Unusable(str(error))

    def peaks(self, environment: Any, dtypes: tuple[str, ...], again: bool) -> Peaks:
        """Peaks of the device, measured once for each environment."""
        from attnbench.bench.timing.measured_peaks import measured_peaks

        return measured_peaks(environment, dtypes, again=again)

    def probe(self) -> dict[str, float]:
        """How long fixed pieces of work take on this CPU now, in microseconds."""
        from attnbench.bench.timing.cpu_probe import probes_us

        return probes_us()

    def expect(self, case: Any, seed: int, families: tuple[str, ...]) -> None:
        """Compute what a case must give, for the other workers to read."""
        from attnbench.bench.agreement.check import plan

        for family, shaped in plan(case, families):
            self.oracle.expect(shaped, family, seed)

    def audit(self, case: Any, seed: int, families: tuple[str, ...]) -> list[Unnoticed]:
        """Answers that are wrong in known ways and that a case would pass."""
        from attnbench.bench.agreement.audit import unnoticed

        found = unnoticed(case, self.oracle, seed, families)
        return [Unnoticed(*key, share) for key, share in found.items()]

    def check(
        self,
        case: Any,
        seed: int,
        families: tuple[str, ...],
        properties: tuple[str, ...] | None = None,
        thorough: bool = True,
    ) -> CheckAnswer:
        """Agreement of this worker's implementation on a case; all properties without a choice."""
        from attnbench.bench.agreement.check import check
        from attnbench.bench.agreement.properties import PROPERTIES

        one = self._implementation()
        chosen = tuple(PROPERTIES) if properties is None else properties
        found = check(
            one,
            case,
            self.oracle,
            seed=seed,
            families=families,
            properties=chosen,
            surroundings=not one.compiled,
            thorough=thorough,
        )
        self._give_back()
        timed = self.device not in one.never_timed
        notes = (*one.notes(self.device), *interpreter.notes(case.dtype))
        return CheckAnswer(found.agreement, found.first_call_ns, notes, timed)

    def open(self, case: Any, seed: int, spread_bytes: int = 0) -> OpenAnswer:
        """Prepare a case for sampling; `spread_bytes` are taken first, so that tensors lie elsewhere."""
        import torch

        from attnbench.bench.timing.timer import Timer

        self.main_thread.free()
        self._spread = bytearray(spread_bytes)
        if self.timer is not None:  # the case before ended while it was sampled
            self.timer.close()
        self.timer = Timer(self._implementation(), case, self.oracle, seed, self.accelerator)
        start = perf_counter()
        pace = self.timer.warm_up()
        warming_s = perf_counter() - start
        clock, one = self.timer.clock, self._implementation()
        tuned = "; ".join(f"{kind}: {choice}" for kind, choice in (one.tuned() if one.tuned else {}).items())
        threads = torch.get_num_threads() if self.device == "cpu" else 0
        cpus = self._pin(threads)
        loose = (
            f"threads not pinned: {why_not() or 'OpenMP did not take its places'}" if threads and not cpus else ""
        )
        notes = (self.timer.note, f"tuned to {tuned}" if tuned else "", loose)
        return OpenAnswer(
            pace_ns=pace,
            warming_s=warming_s,
            calls=self.timer.calls,
            warmup_ns=tuple(self.timer.warmup_ns),
            clock=clock.name,
            cache=clock.cache,
            threads=threads,
            pinned=cpus,
            note="; ".join(words for words in notes if words),
        )

    def _pin(self, threads: int) -> tuple[int, ...]:
        """Pin the main thread while samples are taken on a CPU; the CPU of each thread, where each has its own."""
        if not threads:
            return ()
        self.main_thread.pin()
        return pinned(threads)

    def sample(self) -> float:
        """One sample of the open case: nanoseconds a call."""
        return float(self.timer.sample_ns())

    def burst(self, count: int) -> tuple[float, ...]:
        """Times of `count` single calls of the open case in nanoseconds, after one untimed call."""
        times: tuple[float, ...] = self.timer.burst_ns(count)
        return times

    def verify(self) -> Comparison:
        """Compare the output of the timed call with the float64 reference once more."""
        compared: Comparison = self.timer.verify()
        return compared

    def close(self) -> CloseAnswer:
        """Check once more what was timed, measure its memory, and let go of it."""
        from attnbench.bench.registry.checkout import require_own_modules

        require_own_modules()
        self.main_thread.free()
        timer = self.timer
        answer = CloseAnswer(
            peak_bytes=timer.peak_bytes(),
            saved_bytes=timer.saved_bytes(),
            host_ns=timer.host_ns(),
            energy_j=timer.energy_j(timer.warmup_ns[-1]),
            verified=timer.verify(),  # last, since it changes V, which a retained graph may hold
        )
        timer.close()
        self.timer = timer = None
        self._give_back()
        return answer

    def _give_back(self) -> None:
        """Return memory that torch caches to the device, since other workers need it."""
        from attnbench.bench.timing.device import device_of

        if device := self.accelerator or device_of(self.device):
            device.empty_cache()


def serve(
    connection: Connection, name: str, device: str, folder: Path, log: Path, setting: Setting = PLAIN
) -> None:
    """Answer requests until the parent ends. What a kernel prints does not reach the parent's output."""
    _settle(log)
    let_free()
    setting.take()
    own = os.getpid()
    _limit_memory(device)
    server = Server(name, device, folder)
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, OSError):
            return
        answer = _answer(getattr(server, method), arguments)
        if os.getpid() != own:  # the kernel forked, and this is the copy
            os._exit(0)
        connection.send(answer)


def _answer(method: Callable[..., object], arguments: tuple[Any, ...]) -> object:
    try:
        return method(*arguments)
    except BaseException as error:  # noqa: BLE001 - a user's kernel may raise anything; status_of makes a status of it
        return RemoteError(*status_of(error), own_frames(error))


def _settle(log: Path) -> None:
    """End with the parent, leave Ctrl-C to it, and write everything that is printed into `log`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv[:] = [
        "attnbench-worker"
    ]  # a package may parse it (absl does), and the command's is none of its business
    faulthandler.enable()


def _limit_memory(device: str) -> None:
    """Let an allocation fail before the machine runs out; CUDA maps more than it uses, so not there."""
    if device == "cpu" and sys.platform == "linux":
        allowed = int(psutil.virtual_memory().available * MEMORY_SHARE)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, resource.getrlimit(resource.RLIMIT_DATA)[1]))
