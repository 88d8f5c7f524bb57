"""Sums in closed form."""


def clamped_sum(start: int, count: int, top: int) -> int:
    """Sum of ``clamp(start + i, 0, top)`` for i in ``range(count)``, in closed form."""
    low = min(max(-start, 0), count)
    high = min(max(top - start, low), count)
    rising = (high - low) * (2 * start + low + high - 1) // 2
    return rising + (count - high) * max(top, 0)
