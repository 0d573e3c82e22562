"""Weak Python code blocks. The tool is the real one."""

from typing import Any

INJECTION = "def find(cursor, name):\n    return cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n"
SAFE = 'def find(cursor, name):\n    return cursor.execute("SELECT * FROM users WHERE name = ?", (name,))\n'


def test_an_sql_injection_blocks(job: Any) -> None:
    job.write("src/app.py", INJECTION)

    ran = job.use("check", action="sast", language="python")

    assert ran.code == 1
    [error] = ran.errors
    assert error.startswith("file=src/app.py,line=2,title=sast%3A medium::B608: ")
    assert ran.record["result"] == "fail"
    assert ran.record["findings"] == {"critical": 0, "high": 0, "medium": 1, "low": 0}
    assert "SELECT" not in (job.evidence / "sast.sarif").read_text()  # reports quote no source


def test_what_is_judged_cannot_switch_it_off(job: Any) -> None:
    job.write(".bandit", "[bandit]\nskips: B608\nexclude: /src\n")
    job.write("pyproject.toml", '[tool.bandit]\nskips = ["B608"]\n')
    job.write("src/app.py", INJECTION)
    job.write("src/known.py", INJECTION.replace(" % name)", " % name)  # nosec B608"))
    ran = job.use("check", action="sast", language="python")
    assert (ran.code, len(ran.errors)) == (1, 2)
    assert "file=src/app.py" in ran.errors[0]
    assert "file=src/known.py" in ran.errors[1]


def test_a_higher_threshold_lets_it_pass_and_still_counts_it(job: Any) -> None:
    job.write("src/app.py", INJECTION)

    ran = job.use("check", action="sast", language="python", fail_on="high")

    assert (ran.code, ran.errors, ran.record["result"]) == (0, [], "pass")
    assert ran.record["findings"]["medium"] == 1
    assert "| medium | no | `B608` |" in ran.summary


def test_safe_code_passes_and_only_the_project_is_looked_at(job: Any) -> None:
    job.write("src/app.py", SAFE)
    for elsewhere in (".venv/lib/x.py", "node_modules/gyp/x.py", ".github/actions/dpra/x.py"):
        job.write(elsewhere, INJECTION)

    ran = job.use("check", action="sast", language="python", tool="bandit", fail_on="any")

    assert (ran.code, ran.errors) == (0, [])
    assert (ran.record["tool"], ran.record["version"], ran.record["where"]) == ("bandit", "1.9.4", "sast.sarif")
    assert set(ran.record["findings"].values()) == {0}


def test_a_file_that_cannot_be_parsed_is_an_error(job: Any) -> None:
    """bandit itself exits 0."""
    job.write("src/app.py", SAFE)
    job.write("src/broken.py", "def broken(:\n")

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, ran.record["result"]) == (1, "error")
    assert any(error.startswith("file=src/broken.py,") for error in ran.errors)


def test_nothing_to_look_at_is_an_error(job: Any) -> None:
    """bandit itself exits 0 with an empty report."""
    job.write("README.md", "shop\n")
    job.write(".github/actions/dpra/x.py", SAFE)

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, ran.record["result"]) == (1, "error")
    assert "There is no Python file" in ran.out


def test_a_password_in_the_code_is_not_repeated(job: Any) -> None:
    job.write("src/app.py", 'password = "correct-horse"\n\n\ndef f(password="battery-staple"): ...\n')

    ran = job.use("check", action="sast", language="python", fail_on="low")

    assert ran.code == 1
    assert ran.record["findings"]["low"] == 2
    for text in (b"correct-horse", b"battery-staple"):
        assert text not in ran.out.encode() + ran.summary.encode() + job.everything_written()


def test_hostile_file_names_stay_data(job: Any, inert: Any) -> None:
    for name in ("::error::x,y:%0A.py", "a\n::error::b.py", "a|b`c`.py", "$(touch pwned).py", "\u2028x.py"):
        (job.workspace / name).write_text(INJECTION)

    ran = job.use("check", action="sast", language="python")

    assert (ran.code, len(ran.errors)) == (1, 5)
    inert(job, ran)
