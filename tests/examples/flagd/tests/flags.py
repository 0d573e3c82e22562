"""What flagd's providers get, right after a deployment: python3 tests/flags.py"""

import json
import os
from pathlib import Path

FLAGS = json.loads(json.loads(os.environ["DEPLOYMENT_OUTPUTS"])["Flags"])["flags"]
FAILED = [name for name, flag in FLAGS.items() if flag["defaultVariant"] not in flag["variants"]]
FAILED += {"new-checkout", "new-checkout.limit", "limits"} - FLAGS.keys()
case = "".join(f"<failure message='{name}'/>" for name in FAILED)
Path(os.environ["JUNIT_FILE"]).write_text(f"<testsuite><testcase name='flags'>{case}</testcase></testsuite>")
raise SystemExit(bool(FAILED))
