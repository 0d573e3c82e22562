"""Makes recorded.json, what real rehearsals found, for the tests of the page:

dpra new --no-input name=shop waves=3 && cd shop
dpra rehearse --offline --alarm prod/us-west-2:shop-errors@bake --json r.json
dpra rehearse --offline --scenario an-alarm-in-the-last-bake --scenario a-run-that-dies \
  --scenario an-alarm-that-fires-already --json s.json
python tests/rehearsal/recorded.py r.json s.json >tests/rehearsal/recorded.json
"""

import json
import sys
from pathlib import Path
from typing import Any


def trimmed(result: dict[str, Any]) -> dict[str, Any]:
    """Without what the page does not read."""
    for run in result["runs"]:
        run |= {"outputs": {}, "artifacts": ""}
        evidence: dict[tuple[str, ...], dict[str, Any]] = {}
        for record in run["evidence"]:
            kept = {key: record[key] for key in ("action", "job", "region", "attempt")}
            kept["findings"] = record["findings"] if record["action"] == "rollback" else {}
            evidence.setdefault((record["job"], record["region"], record["attempt"]), kept)
        run["evidence"] = list(evidence.values())
        for job in run["jobs"]:
            if job["job"] not in ("build", "rollback"):
                job["steps"] = []
    return {**result, "jobs": [], "evidence": [], "simulated": result["simulated"][:2]}


if __name__ == "__main__":
    alarm, scenarios = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:])
    proofs = [{**proof, "result": trimmed(proof["result"])} for proof in scenarios["scenarios"]]
    json.dump({"alarm": trimmed(alarm), "scenarios": proofs}, sys.stdout, separators=(",", ":"))
    print()
