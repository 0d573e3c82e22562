"""AWS Control Tower, as far as who moves accounts sees it: the units that it governs, and the accounts that it enrols
by itself when they come there. moto has nothing of it."""

from . import store  # noqa: F401 - its operations are served
