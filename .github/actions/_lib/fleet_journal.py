"""What a release's plan has begun: an intent before each call that changes something, so whoever comes after a lost
runner knows what may be its own doing.

    {"schema": 1, "steps": {KEY: {"first": t, "began": t, "ended": t or null, "request": "car-…"}}}

first and began are the seconds (Unix) of the first and of the last intent; request is what AWS calls the creation of an
account. The object is written conditionally, and nobody else writes it: where it is another one than this run left, a
second run applies the same release, and this one stops. What a change makes of a journal is pure.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import conditional
import runner
from conditional import Place

Entry = Mapping[str, Any]


def empty() -> dict[str, Any]:
    return {"schema": 1, "steps": {}}


def begin(document: dict[str, Any], keys: Iterable[str], now: float) -> None:
    for key in keys:
        entry = document["steps"].setdefault(key, {"first": now, "began": now, "ended": None})
        entry |= {"began": now, "ended": None}


def request(document: dict[str, Any], key: str, name: str) -> None:
    document["steps"][key]["request"] = name


def end(document: dict[str, Any], key: str, now: float) -> None:
    document["steps"][key]["ended"] = now


class Journal:
    """The journal of a release, as this run knows it."""

    def __init__(self, place: Place) -> None:
        """Read it."""
        self.place = place
        kept, self.etag = conditional.read(place)
        self.document = kept or empty()
        if self.document.get("schema") != 1:
            raise runner.Failed(f"the journal {place} is of another schema: a newer dpra wrote it", "error")
        self.before: Mapping[str, Entry] = {key: dict(entry) for key, entry in self.document["steps"].items()}
        self.written = True

    @property
    def begun(self) -> set[str]:
        """The keys of all steps that were begun."""
        return set(self.document["steps"])

    @property
    def ended(self) -> set[str]:
        """The keys of those that are done."""
        return {key for key, entry in self.document["steps"].items() if entry["ended"]}

    def entry(self, key: str) -> Entry | None:
        """What an earlier run left of a step."""
        return self.before.get(key)

    def begin(self, keys: Iterable[str]) -> None:
        """Say what is done next. What has ended meanwhile is written with it."""
        begin(self.document, keys, time.time())
        self._write()

    def request(self, key: str, name: str) -> None:
        """Say what AWS calls it."""
        request(self.document, key, name)
        self._write()

    def end(self, key: str) -> None:
        """A step is done; `close`, or the next intent, writes it."""
        end(self.document, key, time.time())
        self.written = False

    def close(self) -> None:
        if not self.written:
            self._write()

    def _write(self) -> None:
        etag = conditional.write(self.place, self.document, self.etag)
        if not etag:
            there, etag = conditional.read(self.place)
            if there != self.document:  # else it was this very write, whose answer was lost
                raise runner.Failed(
                    f"another run writes the journal {self.place}: it applies the same release. This one stops; where "
                    "the other one is no more, run the job again",
                    "error",
                )
        self.etag, self.written = etag, True
