"""The release record: in whatever order the jobs of several runs come, no older commit ends up over a newer one, and a
rollback waits for nobody. The real code, against moto's conditional writes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from moto import mock_aws

REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
COMMITS = [f"{number:040x}" for number in range(1, 9)]  # in their order on the trunk


def release(number: int) -> dict[str, str]:
    return {"digest": f"{number:064x}", "commit": COMMITS[number - 1]}


def order(base: str, head: str) -> str:
    if base not in COMMITS or head not in COMMITS:
        return "unknown"
    return "identical" if base == head else "ahead" if COMMITS.index(head) > COMMITS.index(base) else "behind"


def take(kept: Any, run: str, number: int, now: float = 1000.0, force: bool = False) -> str:
    import record

    return str(record.acquire_lock(kept, run, release(number), order, now, 100.0, force))


def deploy(kept: Any, run: str, number: int, *regions: str, wave: int = 1, state: str = "deployed") -> None:
    import record

    for region in regions:
        record.begin_region(kept, run, region, wave, release(number), 1000.0, 100.0)
        record.set_region_state(kept, run, region, state, 1001.0)


def test_a_release_becomes_the_one_to_go_back_to() -> None:
    import record

    kept = record.empty()
    assert take(kept, "1", 1) == "locked"
    deploy(kept, "1", 1, *REGIONS)
    record.finish_release(kept, "1", list(REGIONS))
    assert (kept["lock"], kept["current"]["commit"]) == (None, COMMITS[0])
    assert all(kept["regions"][region] == {"good": release(1), "now": None} for region in REGIONS)
    record.finish_release(kept, "1", list(REGIONS))  # once more, as after a write whose answer was lost


@pytest.mark.parametrize(
    ("state", "lease", "until"),
    [
        ("deployed", 18000.0, 19800.0),
        ("deployed", 60.0, 2000.0),
        ("failed", 0.0, 2000.0),
        ("rolling-back", 0.0, 2000.0),
    ],
)
def test_the_lease_covers_the_bake_from_the_end_of_the_deployment(state: str, lease: float, until: float) -> None:
    """However long that took: or a look of the schedule a little late would find the run dead."""
    import record

    kept = record.empty()
    take(kept, "1", 1)
    record.begin_region(kept, "1", REGIONS[0], 1, release(1), 1000.0, 1000.0)
    record.set_region_state(kept, "1", REGIONS[0], state, 1800.0, lease)
    assert kept["lock"]["until"] == until


def test_an_older_commit_stops_and_a_newer_one_waits() -> None:
    import record
    import runner

    kept = record.empty()
    assert take(kept, "2", 2) == "locked"
    with pytest.raises(runner.Failed, match=r"is newer than .* is being released"):
        take(kept, "1", 1)
    assert take(kept, "4", 4) == "wait"
    with pytest.raises(runner.Failed, match=r"is newer than .* waits"):
        take(kept, "3", 3)
    deploy(kept, "2", 2, *REGIONS)
    record.finish_release(kept, "2", list(REGIONS))
    with pytest.raises(runner.Failed, match=r"waits"):
        take(kept, "3", 3)
    assert take(kept, "4", 4) == "locked"
    deploy(kept, "4", 4, *REGIONS)
    record.finish_release(kept, "4", list(REGIONS))
    with pytest.raises(runner.Failed, match=r"was released"):
        take(kept, "3", 3)


def test_what_is_no_descendant_needs_an_override() -> None:
    import record
    import runner

    kept = record.empty()
    take(kept, "1", 1)
    record.release_lock(kept, "1")
    kept["current"] = {"digest": "x", "commit": "f" * 40, "run": "0"}
    with pytest.raises(runner.Failed, match=r"no descendant of it \(unknown\)"):
        take(kept, "1", 1)
    assert take(kept, "1", 1, force=True) == "locked"


def test_without_the_lock_nothing_is_touched() -> None:
    import record
    import runner

    kept = record.empty()
    take(kept, "1", 1)
    for change in (
        lambda: deploy(kept, "2", 2, REGIONS[0]),
        lambda: record.finish_release(kept, "2", list(REGIONS)),
        lambda: record.set_region_state(kept, "2", REGIONS[0], "deployed", 0.0),
    ):
        with pytest.raises(runner.Failed, match=r"does not hold the release lock; 1 does"):
            change()
    assert kept["regions"] == {}


def test_a_release_that_did_not_reach_every_region_is_not_finished() -> None:
    import record
    import runner

    kept = record.empty()
    take(kept, "1", 1)
    deploy(kept, "1", 1, *REGIONS[:2])
    with pytest.raises(runner.Failed, match=r"us-west-2 does not run the release"):
        record.finish_release(kept, "1", list(REGIONS))


def test_the_last_wave_goes_back_first() -> None:
    import record

    kept = record.empty()
    take(kept, "1", 1)
    deploy(kept, "1", 1, "eu-west-1")
    deploy(kept, "1", 1, "us-west-2", wave=2)
    deploy(kept, "1", 1, "us-east-1", wave=2, state="failed")
    assert record.touched(kept) == [["us-east-1", "us-west-2"], ["eu-west-1"]]


def test_a_run_that_died_is_ended_by_a_rollback_only_if_it_touched_something() -> None:
    import record
    import runner

    kept = record.empty()
    take(kept, "1", 1, now=1000.0)
    assert take(kept, "2", 2, now=2000.0) == "locked"  # nothing was touched
    deploy(kept, "2", 2, REGIONS[0])
    with pytest.raises(runner.Failed, match=r"run 2 died .* the rollback workflow first"):
        take(kept, "3", 3, now=9000.0)
    assert record.lease_expired(kept, 9000.0)
    assert record.take_lock(kept, "9", 9000.0, 100.0)
    record.set_region_state(kept, "9", REGIONS[0], "good", 9000.0)
    record.release_lock(kept, "9")
    assert take(kept, "3", 3, now=9001.0) == "locked"


# ---- In many random orders


NUMBERS = st.integers(1, 4)  # of commits, and of the runs that they started


@cache
def s3() -> Any:
    return boto3.client("s3", region_name="us-east-1")


class Releases(RuleBasedStateMachine):
    """Runs of the pipeline whose jobs come in any order, on one record in S3; what runs where is the world.

    Each is approved when `acquire` first comes, however long that takes."""

    def __init__(self) -> None:
        super().__init__()
        self.mock = mock_aws()
        self.mock.start()
        s3().create_bucket(Bucket="prod")
        self.now = 1000.0
        self.world: dict[str, int] = dict.fromkeys(REGIONS, 0)
        self.good, self.past = 0, {0}
        self.phase: dict[int, str] = {}

    def teardown(self) -> None:
        self.mock.stop()

    def change(self, transition: Any) -> Any:
        import record

        return record.change(record.Place("us-east-1", "prod", "shop/record.json", "123456789012"), transition)

    def holder(self) -> int:
        return next((number for number, phase in self.phase.items() if phase == "holds"), 0)

    @rule()
    def hours_pass(self) -> None:
        self.now += 1000.0  # the lease is 100

    @rule(number=NUMBERS)
    def acquire(self, number: int) -> None:
        import runner

        if self.phase.get(number, "waits") != "waits":  # approved just now, or it looks again
            return
        before = self.holder()
        try:
            answer = self.change(lambda kept: take(kept, str(number), number, now=self.now))
        except runner.Failed:
            self.phase[number] = "stopped" if number < max(self.good, before) else "waits"
            return
        assert answer == "wait" or number >= self.good, "an older commit was let in"
        if answer == "locked" and before:  # it had died, and touched nothing
            self.phase[before] = "dead"
        self.phase[number] = {"locked": "holds", "wait": "waits"}[answer]

    def _deploy(self, number: int, region: str, dies: bool) -> None:
        import record
        import runner

        try:
            self.change(
                lambda kept: record.begin_region(kept, str(number), region, 1, release(number), self.now, 100.0)
            )
        except runner.Failed:
            assert self.phase.get(number) != "holds"
            return
        assert self.phase.get(number) == "holds"
        self.world[region] = number  # the stack changes between the two writes
        if not dies:
            self.change(lambda kept: record.set_region_state(kept, str(number), region, "deployed", self.now))

    @rule(number=NUMBERS, region=st.sampled_from(REGIONS), dies=st.booleans())
    def deploy(self, number: int, region: str, dies: bool) -> None:
        self._deploy(number, region, dies)

    @rule(number=NUMBERS)
    def reach_every_region(self, number: int) -> None:
        for region in REGIONS:
            self._deploy(number, region, dies=False)
        self._finish(number)

    @rule(number=NUMBERS)
    def finish(self, number: int) -> None:
        self._finish(number)

    def _finish(self, number: int) -> None:
        import record
        import runner

        try:
            self.change(lambda kept: record.finish_release(kept, str(number), list(REGIONS)))
        except runner.Failed:
            return
        if self.phase.get(number) == "holds":
            assert set(self.world.values()) == {number}
            self.good, self.phase[number] = number, "finished"
            self.past.add(number)

    def _back(self, by: str, by_hand: bool, to: int = 0) -> None:
        import record

        def take_lock(kept: Any) -> bool:
            taken = record.take_lock(kept, by, self.now, 100.0, by_hand)
            if taken and to:
                record.choose_release(kept, by, record.find_release(kept, COMMITS[to - 1]), list(REGIONS), self.now)
            return bool(taken)

        if not self.change(take_lock):
            assert not by_hand, "a rollback by hand waited"
            return
        kept = self.change(lambda kept: json.loads(json.dumps(kept)))
        for wave in record.touched(kept):
            for region in wave:
                good = kept["regions"][region]["good"]
                self.world[region] = COMMITS.index(good["commit"]) + 1 if good else 0
                self.change(lambda kept, region=region: record.set_region_state(kept, by, region, "good", self.now))
        self.change(lambda kept: record.release_lock(kept, by))
        self.good = to or self.good
        if number := self.holder():
            self.phase[number] = "rolled back"
        assert set(self.world.values()) == {self.good}, "a region that was touched did not go back"

    @precondition(lambda self: self.holder())
    @rule()
    def rollback_of_its_own(self) -> None:
        self._back(str(self.holder()), by_hand=False)

    @rule(to=NUMBERS)
    def rollback_by_hand(self, to: int) -> None:
        self._back("900", by_hand=True, to=to if to in self.past and to != self.good else 0)

    @rule()
    def the_scheduled_workflow_looks(self) -> None:
        import record

        if self.change(lambda kept: record.lease_expired(kept, self.now)):
            self._back("800", by_hand=False)

    @invariant()
    def one_release_at_a_time(self) -> None:
        assert list(self.phase.values()).count("holds") <= 1

    @invariant()
    @precondition(lambda self: not self.holder())
    def nothing_older_than_the_last_good_runs(self) -> None:
        assert set(self.world.values()) == {self.good}


def test_in_any_order_no_older_commit_replaces_a_newer_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import aws

    def call(region: str, service: str, operation: str, *words: str, **parameters: Any) -> Any:
        """As the CLI does it, in this process: the two operations that a record needs."""
        client = s3()
        given = dict(zip(words[::2], words[1::2], strict=False))
        try:
            if operation == "get-object":
                answer = client.get_object(Bucket=given["--bucket"], Key=given["--key"])
                Path(words[-1]).write_bytes(answer["Body"].read())
                return {"ETag": answer["ETag"]}
            return client.put_object(Body=Path(given["--body"]).read_bytes(), **parameters)
        except client.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            raise aws.Refused(
                f"s3api {operation}", f"An error occurred ({code}) when calling the Operation operation"
            ) from None

    monkeypatch.setattr(aws, "call", call)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    checks = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Releases, settings=checks)


def test_a_write_that_another_overtook_is_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import conditional
    import record

    kept, lost = record.empty(), iter([False, False, True])
    monkeypatch.setattr(conditional, "read", lambda place: (json.loads(json.dumps(kept)), "etag"))
    monkeypatch.setattr(conditional, "write", lambda place, new, etag: next(lost) and not kept.update(new))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    place = record.Place("us-east-1", "prod", "k", "1")
    assert record.change(place, lambda record: take(record, "1", 1)) == "locked"
    assert kept["lock"]["run"] == "1"


def finished(kept: Any, number: int) -> list[str]:
    import record

    assert take(kept, str(number), number) == "locked"
    deploy(kept, str(number), number, *REGIONS)
    return list(record.finish_release(kept, str(number), list(REGIONS)))


def test_a_release_that_ran_is_found_by_commit_or_digest_and_chosen() -> None:
    import record
    import runner

    kept = record.empty()
    finished(kept, 1), finished(kept, 2)
    for word in (COMMITS[0], release(1)["digest"]):
        assert record.find_release(kept, word) == release(1)
    for word in ("0000", "f" * 40, "", COMMITS[4]):
        with pytest.raises(runner.Failed, match="names no release that ran in every region: choose one of"):
            record.find_release(kept, word)
    assert record.take_lock(kept, "9", 1000.0, 100.0, by_hand=True)
    record.choose_release(kept, "9", release(1), list(REGIONS), 1000.0)
    assert record.touched(kept) == [sorted(REGIONS)]
    assert all(kept["regions"][region]["good"] == release(1) for region in REGIONS)
    assert (kept["current"]["commit"], kept["history"][0]["commit"]) == (COMMITS[0], COMMITS[1])


def test_the_lock_is_not_broken_while_it_is_needed() -> None:
    import record
    import runner

    kept = record.empty()
    assert record.break_lock(kept, "why", 1.0) is None
    take(kept, "1", 1)
    deploy(kept, "1", 1, REGIONS[0], state="deploying")
    with pytest.raises(runner.Failed, match="its rollback needs the lock: run the rollback workflow"):
        record.break_lock(kept, "why", 1.0)
    record.set_region_state(kept, "1", REGIONS[0], "good", 2.0)
    assert record.break_lock(kept, "its runner is gone", 3.0)["run"] == "1"
    assert kept["lock"] is None
    assert kept["unlocked"] == {"run": "1", "reason": "its runner is gone", "at": 3.0}


def test_only_what_nobody_can_go_back_to_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    import record

    monkeypatch.setattr(record, "KEPT", 2)
    kept = record.empty()
    dropped = [finished(kept, number) for number in range(1, 6)]
    assert dropped == [[], [], [], [release(1)["digest"]], [release(2)["digest"]]]
    kept["history"][-1] = {**release(5), "run": "0"}  # the one that runs stands in the history, too
    assert finished(kept, 6) == []
