"""What is to be compiled: a kernel, its signature and constants, a target, options.

A recipe names its kernel by where it is found, so that it travels to a worker process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIVISIBILITY = "tt.divisibility"
"""Triton's attribute of an argument that a launch finds to be a multiple of 16."""


class RecipeError(ValueError):
    """A kernel that can't be asked for like this; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One configuration for one target.

    `config` is its stable name within the kernel (``fwd-d64-causal-bf16``): a baseline
    is looked up by it, so it says what is computed and not how (no tiles, no warps).
    `place` is a module's name or a ``.py`` file, `kernel` the name in it. `attributes`
    gives the divisibility of an argument, `options` are the compiler's (``num_warps``).
    """

    group: str
    config: str
    target: str
    place: str
    kernel: str
    signature: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def id(self) -> str:
        """``triton_fused/sm_80/fwd-d64-causal-bf16``."""
        return f"{self.group}/{self.target}/{self.config}"

    @property
    def warps(self) -> int:
        """Warps that were asked for; the compiler adds those of further partitions."""
        return int(self.options.get("num_warps", 4))
