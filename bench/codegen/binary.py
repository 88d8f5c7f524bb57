"""A compiled kernel as it is kept: its disassembly, its resources, who made it."""

import re
import subprocess
from functools import cache
from pathlib import Path

import msgspec

RESOURCES = re.compile(r"REG:(?P<registers>\d+) STACK:(?P<stack>\d+) SHARED:(?P<shared>\d+) LOCAL:(?P<local>\d+)")


ADVISORY = re.compile(
    r"\((?P<number>C\d+)\) Potential Performance Loss: (?P<said>.*?)(?: in the function '\S+')?$", re.MULTILINE
)


class ToolError(RuntimeError):
    """A tool of Triton's wheel is missing or failed; the message has what it said."""


class Binary(msgspec.Struct, frozen=True, kw_only=True):
    """What came out for one recipe.

    `shared_bytes` is dynamic plus static; `tensor_columns` are those of tensor memory.
    `advisories` are what ptxas itself calls a potential performance loss.
    """

    listing: str
    registers: int
    stack_bytes: int
    shared_bytes: int
    tensor_columns: int
    warps: int
    triton: str
    ptxas: str
    advisories: tuple[str, ...] = ()


def advisories(log: str) -> tuple[str, ...]:
    """``C7515 wgmma.mma_async instructions are serialized due to …`` from what ptxas printed."""
    return tuple(dict.fromkeys(f"{match['number']} {match['said']}" for match in ADVISORY.finditer(log)))


def disassemble(cubin: Path) -> str:
    """The listing of a machine code file, with source lines."""
    return _tool("nvdisasm", "-c", "-g", str(cubin))


def resources(cubin: Path) -> dict[str, int]:
    """Registers a thread, and bytes of stack and static shared memory.

    Where a listing reserves the first KiB of shared memory for the system (``sm_100``),
    that part is counted by the occupancy rules already and is left out here.
    """
    text = _tool("cuobjdump", "-res-usage", str(cubin))
    found = RESOURCES.search(text)
    if not found:
        raise ToolError(f"cuobjdump -res-usage printed no resources for {cubin.name}: {text.strip()[:200]}")
    return {name: int(value) for name, value in found.groupdict().items()}


def _tool(name: str, *arguments: str) -> str:
    path = _folder() / name
    if not path.is_file():
        raise ToolError(f"{path} is missing: install a Triton wheel for Linux, which brings {name}")
    done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{name} failed with exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


@cache
def _folder() -> Path:
    import triton

    return Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
