"""The rehearsal: a repository's generated pipeline, executed on this machine.

act plays GitHub's runner, moto plays AWS, a token endpoint plays GitHub's OpenID Connect, composite actions stand in
for third-party ones. Where something stands in, it refuses what the real thing refuses.
"""

from .faults import FaultError
from .result import Deployment, Job, RehearsalError, Result, Step
from .run import rehearse
from .scenarios import prove

__all__ = ["Deployment", "FaultError", "Job", "RehearsalError", "Result", "Step", "prove", "rehearse"]
