"""dpra's dataclasses are the standard library's, as far as anybody can tell."""

import dataclasses
import pickle
from typing import Any

import pytest
from dpra import dataclasses as ours

KINDS = {
    "frozen": {"frozen": True},
    "by name": {"frozen": True, "kw_only": True},
    "open": {},
    "open by name": {"kw_only": True},
}


def made(dataclass: Any, options: dict[str, bool]) -> Any:
    @dataclass(**options)
    class Made:
        """Of all that a field can be."""

        name: str
        size: int = 3
        parts: list[str] = dataclasses.field(default_factory=list)
        hidden: str = dataclasses.field(default="", repr=False)
        other: str = dataclasses.field(default="", compare=False)

    @dataclass(**options)
    class Below(Made):
        """With one more field, and a word at the end."""

        more: int = 1

        def __post_init__(self) -> None:
            object.__setattr__(self, "name", f"{self.name}!")

    return Made, Below


def outcome(act: Any, *given: Any, **named: Any) -> Any:
    """What comes of it; of an exception the type alone."""
    try:
        return act(*given, **named)
    except (TypeError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("index", [0, 1])
def test_a_dataclass_does_what_the_standard_librarys_does(options: dict[str, bool], index: int) -> None:
    mine, theirs = made(ours.dataclass, options)[index], made(dataclasses.dataclass, options)[index]
    for values, named in [
        ((), {}),
        ((), {"name": "a"}),
        (("a",), {}),
        (("a", 4), {"parts": ["b"]}),
        (("a",), {"name": "b"}),
        (("a", 1, [], "", "", 1, 1), {}),
        ((), {"size": 1}),
        ((), {"name": "a", "strange": 1}),
        ((), {"strange": 1}),
    ]:
        one, other = (outcome(kind, *values, **named) for kind in (mine, theirs))
        if isinstance(other, type):
            assert one is other, (values, named)
            continue
        assert repr(one) == repr(other)
        assert vars(one) == vars(other)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        for change in ({}, {"size": 9}, {"hidden": "x"}, {"other": "x"}, {"strange": 1}):
            pair = [outcome(dataclasses.replace, it, **change) for it in (one, other)]
            if not isinstance(pair[1], type):
                assert (pair[0] == one) is (pair[1] == other)
                assert (pair[0] != 1, pair[0] == other) == (True, False)
            else:
                assert pair[0] is pair[1]
        for act in (
            lambda it: setattr(it, "size", 2),
            lambda it: it.size,
            lambda it: delattr(it, "name"),
            lambda it: hash(dataclasses.replace(it, parts=())) == hash(dataclasses.replace(it, parts=(), other="y")),
            lambda it: [(f.name, f.kw_only) for f in dataclasses.fields(it)],
            lambda it: dataclasses.is_dataclass(it),
        ):
            assert outcome(act, one) == outcome(act, other)


@ours.dataclass(frozen=True)
class Kept:
    """What goes to another process."""

    name: str


def test_it_goes_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Kept("a"))) == Kept("a")  # noqa: S301


def test_a_list_is_no_default() -> None:
    with pytest.raises(ValueError, match="mutable default"):

        @ours.dataclass(frozen=True)
        class Wrong:
            names: list[str] = []  # noqa: RUF012
