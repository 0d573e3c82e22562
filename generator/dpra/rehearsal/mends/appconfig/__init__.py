"""AWS AppConfig and its data plane, made from botocore's model of them: it says what an operation takes, refuses and
answers. moto has applications, profiles and hosted versions only."""

from . import data, deployments, resources, store, validators  # noqa: F401 - their operations are served, their types found
