"""The one place that turns an exception into the status of a record."""

from attnbench.bench.records.schema import Status
from attnbench.impls.contract import Refusal


class WorkerFailure(Exception):
    """A worker gave no result; every such end becomes one record, and the sweep goes on."""


class RemoteError(WorkerFailure):
    """What went wrong in a worker, already told as a status and a reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(status, reason)  # both, since pickle makes the error anew from its arguments
        self.status, self.reason = status, reason

    def __str__(self) -> str:
        return self.reason


class MissingPackage(Exception):
    """A package that the implementation needs is not there; the message says how to install it."""


class WorkerCrashed(WorkerFailure):
    """The worker process ended by itself while it worked."""


class WorkerTimeout(WorkerFailure):
    """The worker did not answer within the time limit and was killed."""


class WrongResult(Exception):
    """A result that was right before is wrong now, or a time that can't be true."""


OUT_OF_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def status_of(error: BaseException) -> tuple[Status, str]:
    """The status and the reason that stand in the record for `error`."""
    match error:
        case RemoteError():
            return error.status, error.reason
        case Refusal():
            return Status.UNSUPPORTED, str(error)
        case MissingPackage():
            return Status.UNAVAILABLE, str(error)
        case WrongResult():
            return Status.WRONG, str(error)
        case WorkerCrashed():
            return Status.CRASHED, str(error)
        case WorkerTimeout():
            return Status.TIMEOUT, str(error)
        case MemoryError():
            return Status.OUT_OF_MEMORY, str(error) or "the machine has no memory left for this case"
        case _ if type(error).__name__ == "OutOfMemoryError" or _speaks_of_memory(error):
            return Status.OUT_OF_MEMORY, _one_line(error)
        case SystemExit():
            return Status.ERROR, f"the implementation called exit({error.code})"
        case _:
            return Status.ERROR, f"{type(error).__name__}: {_one_line(error)}"


def _speaks_of_memory(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or "no message"
