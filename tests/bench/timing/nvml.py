# ruff: noqa: N802 - the names are those of NVML
"""NVML's functions over a simulated device, or over several of which one is meant."""

from types import SimpleNamespace

UUID = "aaaa-1"


class Nvml:
    """Stands in for ``pynvml``; `reasons` and `slowed` (ns) are answers in turn instead of the device's own."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, hardware=None, *, reasons=None, slowed=None, others=(), mig=False):
        self.hardware, self.reasons, self.slowed = hardware, reasons, slowed
        self.others, self.mig, self.asked = others, mig, 0

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByIndex(self, index):
        return ("GPU", self.others[index] if self.others else UUID)

    def nvmlDeviceGetHandleByUUID(self, uuid):
        kind, _, bare = uuid.decode().partition("-")
        if bare not in (*self.others, UUID) or (kind == "MIG") != self.mig:
            raise self.NVMLError("Not Found")
        return kind, bare

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle):
        return "GPU", f"holder of {handle[1]}"

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return 1000 if self.hardware and self.hardware.throttling else 1980

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 88 if self.hardware and self.hardware.throttling else 50

    def nvmlDeviceGetPowerUsage(self, handle):
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        self.asked += 1
        if self.reasons is not None:
            return next(self.reasons)
        return 0x20 if self.hardware.throttling else 0

    def nvmlDeviceGetViolationStatus(self, handle, policy):
        return SimpleNamespace(violationTime=next(self.slowed) if self.slowed and policy == 1 else 0)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return {UUID: 5000}.get(handle[1], 7)

    def nvmlSystemGetDriverVersion(self):
        return "999.1"

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return 700_000

    def nvmlDeviceGetEccMode(self, handle):
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetMigMode(self, handle):
        return [0, 0]
