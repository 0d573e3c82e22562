# deploys: stacks
# pipelines: application
# needs: cloudformation
# template: infrastructure/template.yml
# execution-role: cloudformation
# infrastructure: cloudformation
# changes: cloudformation:ExecuteChangeSet
# base: the parameter BaseImage
"""AWS SAM: CloudFormation, which expands the template itself."""

from deployers import cloudformation
from deployers.cloudformation import running, settled
from deployment import Change, Done, Target

__all__ = ("deploy", "running", "settled")


def deploy(target: Target, change: Change) -> Done:
    """Make the stack what the release's template says, once it is expanded."""
    return cloudformation.deploy(target, change, (*cloudformation.PLAIN, "CAPABILITY_AUTO_EXPAND"))
