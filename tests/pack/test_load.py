"""The gate under load: a file is read once, a report costs no more memory than what is found in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACK = Path(__file__).resolve().parents[2] / ".github" / "actions"
LIB = (
    f"import sys; sys.path.insert(0, {str(PACK / '_lib')!r})\nimport json, resource\nfrom collections import Counter\n"
)
JUDGE = """
from pathlib import Path
import gate, policy
verdict = gate.sarif(Path("report.sarif"), 0, [0], "medium", Path("kept.sarif"), SECRETS)
judged = policy.judge(verdict, [], Counter())
findings = list(policy.listed("sast", "tool", judged))
"""


def report(path: Path, files: int, findings: int, quoted: int = 0, rules_last: bool = False) -> int:
    """A report of so many findings in so many files, each with so many characters of source text; its size in MiB."""
    tool = {"driver": {"name": "tool", "rules": [{"id": "R1", "properties": {"security-severity": "8.0"}}]}}
    with path.open("w") as file:
        file.write('{"version": "2.1.0", "runs": [{')
        if not rules_last:
            file.write(f'"tool": {json.dumps(tool)}, ')
        file.write('"results": [')
        for number in range(findings):
            region = {"startLine": number % 5 + 1, "snippet": {"text": "x" * quoted}}
            uri = f"src/{number % files % 97}/module{number % files}.py"
            one = {
                "ruleId": "R1",
                "message": {"text": f"finding {number}: " + "words " * 20},
                "partialFingerprints": {"primaryLocationLineHash": f"{number:064x}"},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
            }
            file.write(("," if number else "") + json.dumps(one))
        file.write("]" + (f', "tool": {json.dumps(tool)}' if rules_last else "") + "}]}")
    return path.stat().st_size >> 20


def judged(folder: Path, code: str, secrets: bool = False) -> Any:
    script = LIB + code.replace("SECRETS", str(secrets))
    command = [sys.executable, "-B", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_file_is_read_once_however_much_is_found_in_it(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"src/{number % 97}/module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"line {line} of {number}\n" for line in range(9)))
    report(tmp_path / "report.sarif", 30, 3000)
    count = """
opened = Counter()
sys.addaudithook(lambda event, given: opened.update([str(given[0])]) if event == "open" else None)
"""
    told = "print(json.dumps({'found': len(findings), 'marks': len({one['fingerprint'] for one in findings}), "
    told += "'opened': {name: times for name, times in opened.items() if name.startswith('src/')}}))"
    said = judged(tmp_path, count + JUDGE + told)
    assert said["found"] == 3000
    assert said["marks"] == 30  # 3000 findings: for a file always the same line, by its text
    assert (len(said["opened"]), set(said["opened"].values())) == (30, {1})


def test_a_file_too_large_to_be_source_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    import os

    report(tmp_path / "report.sarif", 2, 2)
    (tmp_path / "src" / "0").mkdir(parents=True)
    (tmp_path / "src" / "1").mkdir()
    os.mkfifo(tmp_path / "src/0/module0.py")
    with (tmp_path / "src/1/module1.py").open("wb") as sparse:
        sparse.truncate(2**40)
    assert judged(tmp_path, JUDGE + "print(len(findings))") == 2


@pytest.mark.parametrize("secrets", [False, True])
@pytest.mark.parametrize("rules_last", [False, True])
@pytest.mark.parametrize(("findings", "quoted"), [(40_000, 200), (200, 200_000), (1, 40_000_000)])
def test_a_large_report_costs_less_memory_than_it_is_large(
    tmp_path: Path, findings: int, quoted: int, rules_last: bool, secrets: bool
) -> None:
    """Many results, results that quote much, one that quotes all: what a finding keeps is all that stays."""
    size = report(tmp_path / "report.sarif", 1000, findings, quoted, rules_last)
    assert size > 20
    peak = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    bare = judged(tmp_path, "import gate, policy\n" + peak)
    used = judged(tmp_path, JUDGE + peak, secrets) - bare
    most = 4.5 if findings == 1 else 1.5  # one value is read whole: its bytes, its text, what it says
    assert used < most * size + 8, f"{used} MiB for {size} MiB"
    assert (tmp_path / "kept.sarif").stat().st_size >> 20 < size
    kept = json.loads((tmp_path / "kept.sarif").read_text())
    assert len(kept["runs"][0]["results"]) == findings


def test_a_report_larger_than_the_bound_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "report.sarif").open("wb") as sparse:
        sparse.truncate(300 * 2**20)
    said = judged(tmp_path, JUDGE + "print(json.dumps([verdict.result, verdict.findings[0].text]))")
    assert said[0] == "error"
    assert said[1].startswith("the tool's report has 300 MiB, at most 256 MiB are judged: ")
    assert not (tmp_path / "kept.sarif").exists()


# Each is cut or changed at a place where reading in pieces could believe what is no JSON: old -> new.
BROKEN = {
    "a cut end": ("}]}", ""),
    "a cut run": ("]}]}", "]"),
    "something behind": ("}]}", '}]} {"runs": []}'),
    "two lists of results": ('"results": [', '"results": [], "results": ['),
    "two lists of runs": ('"runs": [', '"runs": [], "runs": ['),
    "two tools": ('"tool": ', '"tool": {}, "tool": '),
    "no comma": ("},{", "} {"),
    "a comma too many": ("]}]}", ",]}]}"),
    "a comma before the first": ('"results": [', '"results": [,'),
    "a result that is none": ('"results": [', '"results": [null,'),
    "a list in place of a run": ('"runs": [', '"runs": [[],'),
    "a name that is none": ('{"version"', '{1: 2, "version"'),
    "results that were not looked for": ('"results": [', '"results": null, "others": ['),
    "results in a text": ('"results": [', '"results": "[]", "others": ['),
}


@pytest.mark.parametrize(("old", "new"), BROKEN.values(), ids=BROKEN)
def test_a_report_read_in_pieces_is_as_strict_as_read_whole(tmp_path: Path, old: str, new: str) -> None:
    import gate

    path = tmp_path / "report.sarif"
    report(path, 3, 3)
    assert gate.sarif(path, 0, [0], "medium", tmp_path / "kept.sarif").result == "fail"
    (tmp_path / "kept.sarif").unlink()
    text = path.read_text()
    assert old in text
    path.write_text(
        new.join(text.rsplit(old, 1)) if new in ("", "]") or old.startswith("}") else text.replace(old, new, 1)
    )
    assert gate.sarif(path, 0, [0], "medium", tmp_path / "kept.sarif").result == "error"
    assert [one.name for one in tmp_path.iterdir()] == ["report.sarif"]  # nothing half-written is kept


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_where_a_block_ends_makes_no_difference(
    tmp_path: Path, encoding: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a number, a word, an escape, a character of four bytes."""
    import gate

    monkeypatch.setattr(gate, "BLOCK", block)
    one = {"ruleId": 'Ω\\"𝄞\n', "level": "note", "rank": 12.5e3, "x": [True, None, {}], "message": {"text": "é𝄞" * 9}}
    document = {"version": "2.1.0", "n": 1234567, "runs": [{"tool": {"driver": {"name": "t"}}, "results": [one] * 5}]}
    document["runs"] *= 2  # type: ignore[operator]
    path = tmp_path / "report.sarif"
    path.write_bytes(json.dumps(document, ensure_ascii=False, indent=1).encode(encoding))
    verdict = gate.sarif(path, 0, [0], "any", tmp_path / "kept.sarif")
    assert [(found.rule, found.text) for found in verdict.findings] == [(one["ruleId"], "é𝄞" * 9)] * 10
    assert json.loads((tmp_path / "kept.sarif").read_text()) == document
