"""EC2 Image Builder, made from botocore's model of it: it says what an operation takes, refuses and answers. moto has
nothing of it. What it builds is built really: the steps of a component are run in the files of the AMI, see `roots`."""

from . import images, lifecycle, resources, scans, store  # noqa: F401 - their operations are served, their types found
