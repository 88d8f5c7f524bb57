"""The one error of this room, written for the person who typed the sweep."""


class SweepError(ValueError):
    """A sweep can't be built; the message says where, which key, and what was expected."""
