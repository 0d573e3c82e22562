"""What goes wrong in front of a user: the command prints `str()` of it and its hint, and exits with its code."""


class DpraError(Exception):
    """`str()` says the subject, what is wrong with it, and the way out unless `hint` does.

    The exit codes: 1 what was asked for does not hold, 2 the input is wrong, 3 the outside world failed.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def told(self) -> str:
        """What is wrong, and the way out."""
        return "; ".join(filter(None, (str(self), self.hint)))


class InputError(DpraError):
    """What the user gave is wrong: a spec, an option, a file."""


class OutsideError(DpraError):
    """Something besides dpra and its input failed: the network, an API, the disk, a tool that is missing."""

    exit_code = 3
