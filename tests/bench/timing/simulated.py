"""A simulated asynchronous device on a virtual time line, in the shape of torch and of NVML.

`Hardware` is what all processes share: the time, the clocks that rise and fall, the
memory. A `Context` is what one process has of it: streams, a caching allocator,
errors that stick. Times are microseconds. Nothing here sleeps: the host's clock is
virtual too, and every launch costs the host some of it.
"""

from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace

from attnbench.bench.timing.device import Device

LAUNCH_US = 5.0
GRAPH_LAUNCH_US, GRAPH_NODE_US = 10.0, 0.5
QUEUE = 1024
"""Launches that a device holds before the host has to wait."""

CYCLES_PER_US = 1755.0
EVENT_US = 0.5
"""Resolution of an event."""

MARK_US = 1.5
"""What a stream takes to pass an event."""

L2_BYTES = 50 << 20
FLUSH_US = 60.0


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class Hardware:
    """One device: virtual time, clocks, memory, what it counts."""

    def __init__(self, *, ramp_us=0.0, throttle_after_us=float("inf"), capacity_bytes=80 << 30):
        self.host_us = 0.0
        self.ramp_us, self.throttle_after_us, self.capacity_bytes = ramp_us, throttle_after_us, capacity_bytes
        self.busy_us = self.energy_mj = self.throttled_us = 0.0
        self.last_us = 0.0
        self.loaded_us = 0.0
        self.contexts = []

    def slowdown(self, start_us):
        """How many times longer work takes: before the clocks have risen, and when they are lowered."""
        if start_us - self.last_us > 1e6:  # a second of idleness: cool, and at its lowest clocks
            self.loaded_us = 0.0
        if self.loaded_us < self.ramp_us:
            return 3.0
        return 1.6 if self.throttling else 1.0

    @property
    def throttling(self):
        return self.loaded_us > self.throttle_after_us

    def work(self, start_us, us):
        """Do work that would take `us` at full clocks; the time at which it ends."""
        taken = us * self.slowdown(start_us)
        self.throttled_us += taken if self.throttling else 0.0
        self.loaded_us += taken
        self.busy_us += taken
        self.energy_mj += 0.7 * taken
        self.last_us = start_us + taken
        return self.last_us

    def context(self):
        return Context(self)


class Stream:
    def __init__(self, context):
        self.context, self.free_us = context, 0.0

    def wait_stream(self, other):
        self.free_us = max(self.free_us, other.free_us)


class Event:
    def __init__(self, context):
        self.context, self.at_us = context, None

    def record(self):
        self.context.touch()
        self.at_us = max(self.context.stream.free_us, self.context.hardware.host_us)
        self.context.stream.free_us = self.at_us + MARK_US

    def query(self):
        self.context.touch()
        return self.at_us is not None and self.context.hardware.host_us >= self.at_us

    def synchronize(self):
        self.context.wait_until(self.at_us)

    def elapsed_time(self, end):
        if not (self.query() and end.query()):
            raise RuntimeError("CUDA error: device not ready")
        ticks = round(end.at_us / EVENT_US) - round(self.at_us / EVENT_US)
        return ticks * EVENT_US / 1e3


class Graph:
    """Work recorded instead of done; `replay` launches all of it at once."""

    def __init__(self, context):
        self.context, self.nodes = context, []

    def replay(self):
        context = self.context
        context.touch()
        context.hardware.host_us += GRAPH_LAUNCH_US + GRAPH_NODE_US * len(self.nodes)
        for work in self.nodes:
            context.enqueue(work, context.stream)


class Context:
    """What one process sees; `device()` is what timing gets, `torch` the module in its shape."""

    def __init__(self, hardware):
        self.hardware, self.died = hardware, None
        self.main = self.stream = Stream(self)
        self.streams, self.pending = [self.main], deque()
        self.capturing, self.cached = None, set()
        self.allocated = self.peak = self.reserved = 0
        hardware.contexts.append(self)
        self.torch = _torch(self)

    def device(self):
        return Device(
            self.torch, "cuda", lambda: int(self.hardware.host_us * 1e3), lambda: int(self.hardware.energy_mj)
        )

    def touch(self, host_us=0.0):
        """Any call into the driver: a dead context answers each with the same error."""
        if self.died:
            raise RuntimeError(self.died)
        self.hardware.host_us += host_us

    def die(self, words="CUDA error: an illegal memory access was encountered"):
        self.died = words
        self.touch()

    def launch(self, us, *, key=None, warm_us=None, stream=None):
        """A kernel of `us`; of `warm_us` where the cache still holds the data `key` of an earlier one."""

        def work():
            if key is None:
                return us
            warm = key in self.cached
            self.cached.add(key)
            return warm_us if warm else us

        self._submit(work, stream or self.stream)

    def _submit(self, work, stream):
        self.touch(LAUNCH_US)
        if self.capturing is not None and stream is self.stream:
            self.capturing.nodes.append(work)
        else:
            self.enqueue(work, stream)

    def enqueue(self, work, stream):
        hardware = self.hardware
        start = max(stream.free_us, hardware.host_us)
        stream.free_us = hardware.work(start, work())
        self.pending.append(stream.free_us)
        if len(self.pending) > QUEUE:
            hardware.host_us = max(hardware.host_us, self.pending.popleft())

    def flush(self):
        def work():
            self.cached.clear()
            return FLUSH_US

        self._submit(work, self.stream)

    def hold(self, cycles):
        self.launch(cycles / CYCLES_PER_US)

    def wait_until(self, us):
        self.touch()
        if self.capturing is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.hardware.host_us = max(self.hardware.host_us, us)

    def synchronize(self):
        self.wait_until(max(stream.free_us for stream in self.streams))

    def new_stream(self):
        self.streams.append(Stream(self))
        return self.streams[-1]

    @contextmanager
    def on(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextmanager
    def capture(self, graph):
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None

    @contextmanager
    def holding(self, size):
        """Memory held for as long as this is open; freed memory stays reserved until the cache is emptied."""
        self.touch()
        self.allocated += size
        self.peak = max(self.peak, self.allocated)
        try:
            if self.allocated > self.reserved:
                taken = sum(other.reserved for other in self.hardware.contexts if other is not self)
                if taken + self.allocated > self.hardware.capacity_bytes:
                    raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size >> 20} MiB")
                self.reserved = self.allocated
            yield
        finally:
            self.allocated -= size

    def close(self):
        """The process ends, and all that it held with it."""
        self.hardware.contexts.remove(self)


def _torch(context):
    def reset_peak():
        context.peak = context.allocated

    def empty_cache():
        context.reserved = context.allocated

    cuda = SimpleNamespace(
        Event=lambda enable_timing: Event(context),
        Stream=context.new_stream,
        stream=context.on,
        CUDAGraph=lambda: Graph(context),
        graph=context.capture,
        synchronize=context.synchronize,
        _sleep=context.hold,
        memory_allocated=lambda: context.allocated,
        max_memory_allocated=lambda: context.peak,
        reset_peak_memory_stats=reset_peak,
        empty_cache=empty_cache,
        get_device_properties=lambda: SimpleNamespace(L2_cache_size=L2_BYTES),
    )

    def empty(elements, dtype, device):
        context.flush_bytes = elements * 4
        return SimpleNamespace(zero_=context.flush)

    return SimpleNamespace(
        cuda=cuda,
        xpu=SimpleNamespace(
            Event=cuda.Event,
            synchronize=cuda.synchronize,
            get_device_properties=lambda: SimpleNamespace(last_level_cache_size=L2_BYTES),
        ),
        mps=SimpleNamespace(event=SimpleNamespace(Event=cuda.Event), synchronize=cuda.synchronize),
        version=SimpleNamespace(hip=None),
        empty=empty,
        int32="int32",
    )
