"""Tile sizes by architecture and head_dim: the first of each entry is the default, the rest are tried on a GPU.

Imports no triton. Figures that a reason speaks of are in docs/triton_fused.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """One way to launch a kernel: queries and keys a tile, warps, stages of the copy pipeline.

    `ahead` issues the scores of the next tile before the softmax of this one.
    """

    tile_q: int
    tile_k: int
    num_warps: int
    num_stages: int
    ahead: bool = False
    reason: str = ""

    @property
    def label(self) -> str:
        """Short name, as in ``128x64-w4-s2``."""
        return f"{self.tile_q}x{self.tile_k}-w{self.num_warps}-s{self.num_stages}" + "-ahead" * self.ahead


SHARED_BYTES = {80: 166912, 86: 101376, 89: 101376, 90: 232448, 100: 232448, 120: 101376}
"""Shared memory that one block may use, by compute capability (CUDA programming guide, table of limits)."""

INTERPRETED = Config(32, 32, 1, 1, reason="small, so that a test's few queries and keys still make several tiles")

_FORWARD: dict[tuple[int, int], tuple[Config, ...]] = {
    (80, 64): (Config(128, 64, 4, 2, reason="four warps keep 64 registers of output and of scores each"),),
    (80, 128): (Config(128, 64, 4, 2, reason="the widest tile of keys whose scores and output fit in registers"),),
    (80, 256): (Config(64, 32, 4, 2, reason="the output alone takes 128 registers a thread"),),
    (90, 64): (Config(128, 128, 8, 2, reason="two warp groups, each 64 queries of wgmma"),),
    (90, 128): (Config(128, 128, 8, 2, ahead=True, reason="scores of the next tile under this one's softmax"),),
    (90, 256): (Config(128, 64, 8, 2, reason="the output takes 128 registers a thread with two warp groups"),),
    (100, 64): (Config(128, 128, 4, 3, reason="one tcgen05 tile is 128 rows; accumulators live in tensor memory"),),
    (100, 128): (Config(128, 128, 4, 3, reason="as at 64"),),
    (100, 256): (Config(128, 64, 4, 2, reason="two stages of 64 keys fit in shared memory"),),
}

_FAMILY = {80: 80, 86: 80, 87: 80, 89: 80, 90: 90, 100: 100, 103: 100, 120: 80}
"""Which column an architecture follows: 86, 89 and 120 have mma.sync and less shared memory, as a small 80."""


def family(capability: int) -> int:
    """The architecture whose table serves `capability` (80 for 8.0); unknown ones follow the nearest below."""
    known = [number for number in sorted(_FAMILY) if number <= capability]
    if not known:
        raise ValueError(f"compute capability {capability / 10} is below 8.0, which these kernels need")
    return _FAMILY[known[-1]]


def bucket(padded: int) -> int:
    """The head_dim column of the table that a padded head_dim falls in."""
    return 64 if padded <= 64 else 128 if padded <= 128 else 256


def forward_configs(capability: int, padded: int, element_bytes: int) -> tuple[Config, ...]:
    """Candidates for the forward kernel, the default first."""
    found = _FORWARD[family(capability), bucket(padded)]
    if element_bytes == 4:  # float32 products run on the plain cores: registers, not tensor tiles, decide
        return (Config(32, 32, 4, 2, reason="float32 operands take twice the bytes and no tensor core"),)
    return tuple(c for c in found if forward_bytes(c, padded, element_bytes) <= shared_bytes(capability))


def forward_bytes(config: Config, padded: int, element_bytes: int) -> int:
    """Shared memory the forward needs: a tile of queries, and keys and values for each stage."""
    return element_bytes * padded * (config.tile_q + 2 * config.tile_k * config.num_stages)


def shared_bytes(capability: int) -> int:
    """Shared memory a block may use; the smallest known limit for an unknown architecture."""
    return SHARED_BYTES.get(capability, min(SHARED_BYTES.values()))
