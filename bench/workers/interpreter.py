"""Triton's interpreter in a worker: switched on before Triton is imported, and its bfloat16 mended.

On a CPU, Triton kernels run in its interpreter, which holds bfloat16 as ``uint16`` (Triton 3.6 to 3.9): products,
sums and comparisons take the raw bits for integers, and a float32 is cut to bfloat16, not rounded. `start` mends
that in this process: bfloat16 operands are widened to float32, which is exact, computed there, and the result is
rounded to the nearest, as a GPU does. A product accumulates in float32. No torch and no Triton until `start`.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

SWITCH = "TRITON_INTERPRET"
RAN = "ran in Triton's interpreter"
MENDED = (
    "Triton's interpreter computes with the raw bits of bfloat16: mended here, operands are widened to float32 "
    "and results are rounded to the nearest"
)
PROBE_NS = 1.0
FLOAT_OPERATIONS = tuple(
    f"create_{name}"
    for name in ("fadd", "fsub", "fmul", "fdiv", "precise_divf", "frem", "minimumf", "minnumf", "maximumf", "maxnumf",
                 "clampf", "fma")
)  # fmt: skip
COMPARISONS = [f"create_fcmp{order}{how}" for order in "OU" for how in ("LT", "GT", "LE", "GE", "EQ", "NE")]

_mended: list[bool] = []


def notes(dtype: str) -> tuple[str, ...]:
    """What the record of a case in `dtype` says of the interpreter; nothing where this process has none."""
    if not _mended:
        return ()
    ran = f"{RAN}: {SWITCH}=1 was set in its process, since a CPU runs no Triton kernel otherwise"
    return (ran, MENDED) if dtype == "bf16" and _mended[0] else (ran,)


def start() -> None:
    """Import Triton with its interpreter on, mend bfloat16, and answer for a driver where there is no GPU."""
    os.environ[SWITCH] = "1"
    if importlib.util.find_spec("triton") is None:
        return
    _forget_compiling_triton()
    import triton
    from triton.runtime import driver, interpreter

    _mended[:] = [_mend(interpreter)]
    if not any(backend.driver.is_active() for backend in triton.backends.backends.values()):
        driver.set_active(NoGpu())


def _forget_compiling_triton() -> None:
    """Let Triton be imported anew, where it was imported with its interpreter off: it looks at its switch then."""
    standard = sys.modules.get("triton.language.standard")
    if standard is None or "Interpreted" in type(standard.sum).__name__:
        return
    compiled = "triton._C"  # an extension module can't be loaded twice
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "triton" and not name.startswith(compiled)
    ]:
        del sys.modules[name]


class NoGpu:
    """What files ask of Triton's driver while they are imported, and what its tuner asks, where there is no GPU."""

    def get_active_torch_device(self) -> Any:
        """Where a file puts its own tensors."""
        import torch

        return torch.device("cpu")

    def get_current_target(self) -> Any:
        """A target that is neither CUDA's nor ROCm's."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cpu", 0, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_benchmarker(self) -> Callable[..., Any]:
        """A clock for the tuner that calls nothing: in the interpreter the first configuration is as good as any."""
        return lambda kernel_call, *, quantiles=None, **_: [PROBE_NS] * len(quantiles) if quantiles else PROBE_NS

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: there is no GPU here, Triton's kernels run in its interpreter")


def _mend(interpreter: Any) -> bool:
    """Replace what the interpreter gets wrong in bfloat16; whether there was something to replace."""
    import numpy as np

    if interpreter._get_np_dtype(interpreter.tl.bfloat16) != np.uint16:  # noqa: SLF001 - the fault itself
        return False
    builder = interpreter.InterpreterBuilder
    for name in FLOAT_OPERATIONS:
        if plain := getattr(builder, name, None):
            setattr(builder, name, _widened(interpreter, plain, narrow=True))
    for name in COMPARISONS:
        if plain := getattr(builder, name, None):
            setattr(builder, name, _widened(interpreter, plain, narrow=False))
    builder.create_dot = _widened(interpreter, builder.create_dot, narrow=False)
    builder.cast_impl = _cast(interpreter, builder.cast_impl)
    builder.get_bf16 = lambda self, value: _rounded(interpreter, np.array([value], dtype=np.float32))
    plain_fp = builder.create_fp_to_fp
    builder.create_fp_to_fp = lambda self, src, to, mode: (
        _converted(interpreter, src, to) or plain_fp(self, src, to, mode)
    )
    return True


def _widened(interpreter: Any, plain: Callable[..., Any], *, narrow: bool) -> Callable[..., Any]:
    """`plain` on float32 where an operand is bfloat16; with `narrow` the result is bfloat16 again."""

    def mended(self: Any, *operands: Any, **more: Any) -> Any:
        if not any(_is_bfloat16(interpreter, x) for x in operands):
            return plain(self, *operands, **more)
        found = plain(
            self, *(_wide(interpreter, x) if _is_bfloat16(interpreter, x) else x for x in operands), **more
        )
        return _rounded(interpreter, found.data) if narrow else found

    return mended


def _cast(interpreter: Any, plain: Callable[..., Any]) -> Callable[..., Any]:
    def cast(self: Any, src: Any, to: Any) -> Any:
        return _converted(interpreter, src, to) or plain(self, src, to)

    return cast


def _converted(interpreter: Any, src: Any, to: Any) -> Any:
    """A conversion from or to bfloat16 by way of float32; None for any other."""
    bfloat16, target = interpreter.tl.bfloat16, to.scalar
    if src.dtype.scalar == bfloat16 and target != bfloat16:
        wide = _wide(interpreter, src)
        kind = interpreter._get_np_dtype(target)  # noqa: SLF001 - as the interpreter's own casts do
        narrower = target.is_fp8() or (kind.kind == "u" and target.is_floating())
        return None if narrower else interpreter.TensorHandle(wide.data.astype(kind), target)
    if target == bfloat16 and src.dtype.scalar != bfloat16 and not src.dtype.scalar.is_fp8():
        return _rounded(interpreter, src.data)
    return None


def _is_bfloat16(interpreter: Any, x: Any) -> bool:
    return isinstance(x, interpreter.TensorHandle) and x.dtype.scalar == interpreter.tl.bfloat16


def _wide(interpreter: Any, x: Any) -> Any:
    """The same numbers in float32, of which bfloat16 is the upper half."""
    import numpy as np

    bits = np.ascontiguousarray(x.data).astype(np.uint32) << 16
    return interpreter.TensorHandle(bits.view(np.float32), interpreter.tl.float32)


def _rounded(interpreter: Any, numbers: Any) -> Any:
    """Numbers of any kind rounded to bfloat16, to the nearest and ties to even; NaN stays NaN."""
    import numpy as np

    single = np.ascontiguousarray(numbers, dtype=np.float32)
    bits = single.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    found = np.where(np.isnan(single), 0x7FC0, nearest).astype(np.uint16)
    return interpreter.TensorHandle(found, interpreter.tl.bfloat16)
