"""Tile sizes by kernel, architecture and head_dim: first the default, then what else is tried on a GPU.

Imports no triton. Figures that a reason speaks of are in docs/triton_fused.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """One way to launch a kernel: tiles of `block_m` queries and `block_n` keys, warps, stages of the copy pipeline.

    `qk_ahead` issues the dot products of the next tile before the softmax of this one.
    """

    block_m: int
    block_n: int
    num_warps: int
    num_stages: int
    qk_ahead: bool = False
    reason: str = ""

    @property
    def label(self) -> str:
        """Short name, as in ``128x64-w4-s2``."""
        return f"{self.block_m}x{self.block_n}-w{self.num_warps}-s{self.num_stages}" + "-ahead" * self.qk_ahead


INTERPRETED = Config(32, 32, 1, 1, reason="small, so that a test's few queries and keys still make several tiles")

LAST_RESORT = Config(32, 32, 4, 1, reason="one stage of the smallest tiles: where no row of the table fits")

SHARED_BYTES = {80: 166912, 86: 101376, 87: 166912, 89: 101376, 90: 232448, 100: 232448, 103: 232448, 120: 101376}
"""Shared memory that one block may use, by compute capability (CUDA programming guide, compute capabilities)."""

PHASES = ("forward", "backward_dq", "backward_dkv", "decode")

_MORE = "more programs, and two of them on a multiprocessor, where batch and heads are few"

_TABLE: dict[tuple[str, int, int], tuple[Config, ...]] = {
    ("forward", 80, 64): (
        Config(
            128, 128, 8, 2, reason="long tiles of keys spread the cost of a turn over more MMAs: 3.52, no spills"
        ),
        Config(128, 64, 4, 3, reason="two programs on a multiprocessor, copies two tiles ahead"),
        Config(64, 64, 4, 3, reason=_MORE),
    ),
    ("forward", 80, 128): (
        Config(128, 128, 8, 2, reason="16 queries a warp: output and scores of 128 keys just fit, 2.39, no spills"),
        Config(128, 64, 8, 2, reason="two thirds of the shared memory, 2.75"),
        Config(128, 64, 8, 3, reason="copies two tiles ahead, 3.1"),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("forward", 80, 256): (
        Config(64, 64, 8, 2, reason="8 warps halve the 128 registers that the output takes with 4: no spills"),
        Config(64, 32, 4, 2, reason="less shared memory"),
    ),
    ("forward", 90, 64): (
        Config(128, 128, 8, 2, reason="two warp groups of 64 queries"),
        Config(
            128, 128, 8, 2, qk_ahead=True, reason="scores ahead; ptxas 12 serialises its wgmma, a newer one may not"
        ),
        Config(64, 64, 4, 3, reason=_MORE),
    ),
    ("forward", 90, 128): (
        Config(128, 128, 8, 2, reason="two warp groups of 64 queries: 1.93, no spills"),
        Config(
            128, 128, 8, 2, qk_ahead=True, reason="scores ahead; ptxas 12 serialises its wgmma, a newer one may not"
        ),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("forward", 90, 256): (
        Config(128, 64, 8, 2, reason="the output takes 128 registers with two warp groups: no spills"),
        Config(64, 32, 4, 2, reason=_MORE),
    ),
    ("forward", 100, 64): (
        Config(128, 128, 8, 3, reason="a tcgen05 tile is 128 rows; 8 warps share its softmax: 4 would spill"),
        Config(128, 64, 4, 3, reason="4 warps for half the keys, without spills"),
    ),
    ("forward", 100, 128): (
        Config(128, 128, 8, 3, reason="a tcgen05 tile is 128 rows; 8 warps share its softmax: 4 would spill"),
        Config(128, 64, 8, 3, reason="fewer registers and half the shared memory"),
    ),
    ("forward", 100, 256): (Config(128, 64, 8, 2, reason="two stages of 64 keys fit in shared memory"),),
    ("backward_dq", 80, 64): (
        Config(
            128, 64, 8, 2, reason="scores, dP and dQ are three tiles of registers: 16 queries a warp, no spills"
        ),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dq", 80, 128): (
        Config(128, 64, 8, 2, reason="the fewest instructions an MMA (1.62) without spills"),
        Config(64, 64, 4, 2, reason=_MORE),
        Config(64, 32, 4, 2, reason="half the shared memory"),
    ),
    ("backward_dq", 80, 256): (
        Config(64, 32, 8, 1, reason="16 queries a warp at twice the width: no spills"),
        Config(32, 32, 4, 1, reason="what fits in 99 KiB"),
    ),
    ("backward_dq", 90, 64): (
        Config(128, 128, 8, 2, reason="two warp groups of 64 queries, no spills"),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dq", 90, 128): (
        Config(128, 128, 8, 2, reason="two warp groups of 64 queries, no spills"),
        Config(128, 64, 8, 2, reason="fewer registers"),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dq", 90, 256): (
        Config(64, 32, 4, 2, reason="q, dO, K and V of width 256 fill shared memory"),
        Config(32, 32, 4, 1, reason="mma.sync without spills"),
    ),
    ("backward_dkv", 80, 64): (
        Config(64, 128, 8, 2, reason="16 keys a warp: scores, dP, dK and dV fit in the main loop"),
        Config(32, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dkv", 80, 128): (
        Config(64, 64, 8, 2, reason="8 warps share dK and dV: no spills in the main loop"),
        Config(32, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dkv", 80, 256): (
        Config(32, 64, 8, 1, reason="8 warps share dK and dV: no spills in the main loop"),
        Config(32, 32, 8, 1, reason="what fits in 99 KiB"),
    ),
    ("backward_dkv", 90, 64): (
        Config(64, 128, 8, 2, reason="two warp groups of 64 keys, no spills in the main loop"),
        Config(64, 64, 4, 2, reason=_MORE),
    ),
    ("backward_dkv", 90, 128): (
        Config(32, 128, 8, 2, reason="two warp groups of 64 keys; 64 queries a turn would spill"),
        Config(64, 128, 8, 2, reason="longer tiles of queries, a few spills"),
        Config(64, 64, 8, 2, reason=_MORE),
    ),
    ("backward_dkv", 90, 256): (Config(32, 32, 8, 1, reason="mma.sync: with wgmma dK and dV spill at this width"),),
    ("decode", 80, 64): (
        Config(16, 128, 4, 3, reason="memory bound: keys in flight decide, 16 lines are the least an MMA takes"),
        Config(16, 64, 4, 4, reason="more stages of smaller tiles"),
    ),
    ("decode", 80, 128): (
        Config(16, 64, 4, 3, reason="memory bound: keys in flight decide, 16 lines are the least an MMA takes"),
        Config(16, 128, 4, 2, reason="fewer, larger tiles"),
    ),
    ("decode", 80, 256): (Config(16, 32, 4, 3, reason="as at 128, keys twice as wide"),),
}

_FAMILY = {80: 80, 86: 80, 87: 80, 89: 80, 90: 90, 100: 100, 103: 100, 120: 80}
"""Which rows an architecture follows: 86, 89 and 120 have mma.sync and less shared memory, as a small 80."""

_SAME_AS = {"backward_dq": {100: 90}, "backward_dkv": {100: 90}, "decode": {90: 80, 100: 80}}
"""Rows that stand for another family too: nothing measured asks for a difference yet."""

_FLOAT32 = {
    "forward": Config(
        32, 32, 4, 1, reason="float32 products run on the plain cores: small tiles stay in registers"
    ),
    "backward_dq": Config(32, 16, 4, 1, reason="as the forward, with one more operand"),
    "backward_dkv": Config(16, 32, 4, 1, reason="as the forward, with two more operands"),
    "decode": Config(16, 32, 4, 1, reason="memory bound, and without tensor cores"),
}


def candidates(phase: str, capability: int, width: int, element_bytes: int) -> tuple[Config, ...]:
    """Configurations of `phase` to choose from, the default first, none over the device's shared memory.

    `width` is the padded head_dim, the larger of q's and v's.
    """
    if element_bytes == 4:
        return (_FLOAT32[phase],)
    own = family(capability)
    rows = _TABLE[phase, _SAME_AS.get(phase, {}).get(own, own), 64 if width <= 64 else 128 if width <= 128 else 256]
    fitting = [c for c in rows if shared_bytes(phase, c, capability, width, element_bytes) <= limit(capability)]
    return tuple(fitting) or (LAST_RESORT,)


def family(capability: int) -> int:
    """The architecture whose rows serve `capability` (80 for 8.0); an unknown one follows the nearest below."""
    known = [number for number in sorted(_FAMILY) if number <= capability]
    if not known:
        raise ValueError(f"compute capability {capability / 10} is below 8.0, which these kernels need")
    return _FAMILY[known[-1]]


def limit(capability: int) -> int:
    """Shared memory a block may use; of an unknown architecture the smallest that is known."""
    return SHARED_BYTES.get(capability, min(SHARED_BYTES.values()))


def shared_bytes(phase: str, config: Config, capability: int, width: int, element_bytes: int) -> int:
    """Shared memory the kernel takes, nearly: the tiles that stay, and two operands for each buffer.

    mma.sync leaves a tile's buffer before the next copy into it: a buffer less than
    stages. Scores ahead hold one more tile of keys; weights pass through in a
    backward and where a warp has less than a whole row of them. Bias tiles come on
    top; `tuning` meets what is not foreseen.
    """
    stays, streams = (
        (config.block_m, config.block_n) if phase != "backward_dkv" else (config.block_n, config.block_m)
    )
    held = 2 * stays if phase.startswith("backward") else stays
    synchronous = family(capability) == 80 or stays < 64
    buffers = max(1, config.num_stages - synchronous)
    lines = held + 2 * streams * buffers + (streams if config.qk_ahead else 0)
    weights = config.block_m * config.block_n if phase.startswith("backward") or config.block_m <= 64 else 0
    return element_bytes * (width * lines + weights)
