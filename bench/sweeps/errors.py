"""The error that all modules of sweeps raise."""


class SweepError(ValueError):
    """A sweep can't be built; the message says where, which key, and what was expected."""
