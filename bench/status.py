"""The one place that turns an exception into the status of a record."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import FrameSummary, extract_tb

from attnbench.bench.records.schema import Status
from attnbench.bench.registry.loading import in_words
from attnbench.impls.contract import Refusal


class WorkerFailure(Exception):
    """A worker gave no result; this becomes one record, and the sweep continues."""


class RemoteError(WorkerFailure):
    """What went wrong in a worker, as a status and a reason; `frames` as :func:`own_frames` gives."""

    def __init__(self, status: Status, reason: str, frames: tuple[str, ...] = ()) -> None:
        super().__init__(status, reason, frames)  # all, since pickle makes the error anew from its arguments
        self.status, self.reason, self.frames = status, reason, frames

    def __str__(self) -> str:
        return self.reason


class MissingPackage(Exception):
    """A package that the implementation needs is not there; the message says how to install it."""


class WorkerCrashed(WorkerFailure):
    """The worker process ended by itself while it worked."""


class WorkerTimeout(WorkerFailure):
    """The worker did not answer within the time limit and was killed."""


class WrongResult(Exception):
    """A result that was right before and is wrong now, or a time that can't be true."""


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
    return in_words(error)[:500] or "no message"


MOST_FRAMES = 12
HARNESS = tuple(Path(__file__).resolve().parents[1] / room for room in ("bench", "impls/contract"))
INSTALLED = tuple(
    Path(path).resolve()
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib")
)


def own_frames(error: BaseException) -> tuple[str, ...]:
    """Where in the implementation's own files `error` arose, outermost first: ``FILE:LINE in FUNCTION: SOURCE``.

    Frames of this harness, of Python and of installed packages are left out; where no other is left,
    the innermost of a package's stand for them. What caused the error comes after it.
    """
    frames = [frame for frame in _frames(error) if not _within(frame, HARNESS)]
    own = [frame for frame in frames if not _within(frame, INSTALLED)] or frames[-2:]
    return tuple(f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in own[-MOST_FRAMES:])


def _frames(error: BaseException) -> Iterator[FrameSummary]:
    """Frames of the error, then those of what caused it, each once."""
    seen: set[tuple[str, int | None]] = set()
    link: BaseException | None = error
    while link is not None:
        for frame in extract_tb(link.__traceback__):
            if (frame.filename, frame.lineno) not in seen:
                seen.add((frame.filename, frame.lineno))
                yield frame
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _within(frame: FrameSummary, folders: tuple[Path, ...]) -> bool:
    """Whether the frame's file lies in one of the folders, or is none (``<frozen importlib>``)."""
    path = Path(frame.filename)
    return not path.is_absolute() or any(path.resolve().is_relative_to(folder) for folder in folders)
