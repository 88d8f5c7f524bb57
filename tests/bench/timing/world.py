"""Kernels and processes on a simulated device, so that the whole protocol can be driven on its virtual time."""

from dataclasses import dataclass

from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.catalogue import find
from attnbench.bench.timing.timer import Timer
from attnbench.bench.workers.process import Pool, Worker
from attnbench.bench.workers.server import Server, _answer
from attnbench.impls.contract import Implementation, parse_case
from tests.bench.timing.simulated import Hardware

CASE = parse_case("b1-h1-s16-d8-full-fp32")
IDLE_US = 2000.0
"""What passes between two requests to a worker."""


@dataclass(frozen=True)
class Kernel:
    """What one call does on the device: `launches` kernels of `us` each, and what `strange(context)` does besides."""

    us: float = 200.0
    warm_us: float | None = None
    launches: int = 1
    bytes: int = 0
    strange: object = None

    def on(self, context, name="simulated"):
        """An implementation that computes on the host and takes its time on the device."""

        def prepare(inputs):
            right = find("masked_fill").prepare(inputs)

            def call():
                with context.holding(self.bytes):
                    for _ in range(self.launches):
                        context.launch(
                            self.us, key=id(inputs), warm_us=self.us if self.warm_us is None else self.warm_us
                        )
                    if self.strange:
                        self.strange(context)
                    return right()

            return call

        return Implementation(name=name, summary="", prepare=prepare)


def timer_of(kernel, context=None, case=CASE):
    """A timer of `kernel` on a simulated device."""
    context = context or Hardware().context()
    return Timer(kernel.on(context), case, Oracle(), 0, context.device())


class SimulatedServer(Server):
    """A worker's own side, with a context of its own on the shared device."""

    def __init__(self, name, folder, hardware, kernels):
        super().__init__(name, "cpu", folder)
        self.context = hardware.context()
        self.accelerator = self.context.device()
        self.kernels = kernels

    def _implementation(self):
        return self.kernels[self.name].on(self.context, self.name)


class SimulatedWorker(Worker):
    """The parent's side as it is, whose process is an object of this one."""

    def __init__(self, name, folder, hardware, kernels):
        super().__init__(name, "cuda", folder, 60)
        self.hardware, self.kernels, self.starts = hardware, kernels, 0

    def _start(self):
        self.starts += 1
        self._process = self._connection = _InProcess(
            SimulatedServer(self.name, self.folder, self.hardware, self.kernels), self.hardware
        )


class _InProcess:
    """A process and the connection to it."""

    pid = None

    def __init__(self, server, hardware):
        self.server, self.hardware = server, hardware

    def send(self, request):
        self.hardware.host_us += IDLE_US
        method, arguments = request
        self.answer = _answer(getattr(self.server, method), arguments)

    def poll(self, _limit):
        return True

    def recv(self):
        return self.answer

    def kill(self):
        self.server.context.close()

    def join(self):
        pass

    def close(self):
        pass


class SimulatedPool(Pool):
    """Workers for `kernels` by name, on one device."""

    def __init__(self, folder, hardware, kernels):
        super().__init__("cuda", folder, 60)
        self.hardware, self.kernels = hardware, kernels
        self._workers = {name: SimulatedWorker(name, folder, hardware, kernels) for name in (*kernels, self.ORACLE)}

    def fresh(self, name, setting):
        return SimulatedWorker(name, self.folder, self.hardware, self.kernels)
