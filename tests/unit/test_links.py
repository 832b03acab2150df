"""To which nodes an application node keeps channels, and for how long."""

from __future__ import annotations

import pytest

from Services.fractos.directory.interface import Member
from Services.fractos.events import Effect, KeepLink, ReleaseLink
from Services.fractos.links import RELEASE_S, REOPEN_S, Links
from Services.fractos.placement import Placement

FIRST = 2


def member(index: int, sequence: int | None = None, node_type: str = "math") -> Member:
    name = f"{node_type}-{index}"
    return Member(node_type, name, name, index if sequence is None else sequence, f"at {name}", 0, "", 0.0)


FOUR = tuple(map(member, range(4)))


class Harness:
    """Links of a datacenter with math and storage nodes."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.placement = Placement()
        self.links = Links(self.placement, ("math", "storage"), FIRST, self.effects.append)
        self.listed(*FOUR)

    def listed(self, *members: Member) -> None:
        self.placement.update(members)
        self.links.refresh()

    def lose(self, index: int, now: float, *, opened: bool = True) -> None:
        self.placement.suspect(f"at math-{index}", now)
        self.links.on_lost(f"at math-{index}", now, opened=opened)

    def asked(self) -> list[Effect]:
        effects = list(self.effects)
        self.effects.clear()
        return effects

    def pass_time(self, until: float) -> list[Effect]:
        while self.links.next_due <= until:
            self.links.on_timer_due(self.links.next_due)
        return self.asked()


@pytest.fixture
def harness() -> Harness:
    return Harness()


def keep(*indices: int) -> list[Effect]:
    return [KeepLink(f"at math-{index}") for index in indices]


def test_the_first_of_each_type_have_channels(harness: Harness) -> None:
    assert harness.asked() == keep(0, 1)
    harness.listed(*FOUR, member(7, node_type="storage"), member(0, 99, node_type="application"))
    assert harness.asked() == [KeepLink("at storage-7")]
    assert harness.links.is_kept("at math-1")
    assert not harness.links.is_kept("at math-2")


def test_an_owner_has_a_channel_wherever_it_stands_in_line(harness: Harness) -> None:
    harness.asked()
    harness.placement.learn("at math-3", 5)
    harness.links.refresh()
    assert harness.asked() == keep(3)


def test_a_node_that_a_run_names_has_a_channel_until_the_run_must_have_ended(harness: Harness) -> None:
    harness.asked()
    harness.links.use([FOUR[0], FOUR[3]], 100.0)
    assert harness.asked() == keep(3)
    harness.links.use([FOUR[3]], 150.0)
    assert harness.asked() == []
    assert harness.pass_time(150.0 + RELEASE_S - 2.0) == []
    assert harness.pass_time(150.0 + RELEASE_S + 2.0) == [ReleaseLink("at math-3")]
    assert not harness.links.is_kept("at math-3")


def test_the_next_in_line_takes_the_place_of_one_whose_channel_broke(harness: Harness) -> None:
    harness.asked()
    harness.lose(0, 10.0)
    assert harness.asked() == [*keep(2), *keep(0)], "the one that broke is tried again"
    harness.lose(0, 11.0, opened=False)
    assert harness.asked() == []
    assert harness.pass_time(11.0 + REOPEN_S + 0.2) == keep(0)


def test_one_that_is_no_longer_among_the_first_is_kept_as_long_as_a_run_may_be_there(harness: Harness) -> None:
    harness.links.use([FOUR[0]], 100.0)
    harness.asked()
    harness.listed(member(0, 50), *FOUR[1:])
    assert harness.asked() == keep(2)
    assert harness.pass_time(100.0 + RELEASE_S - 2.0) == []
    assert harness.pass_time(100.0 + RELEASE_S + 2.0) == [ReleaseLink("at math-0")]


def test_one_that_comes_back_is_told_what_it_missed(harness: Harness) -> None:
    harness.links.use([FOUR[3]], 100.0)
    harness.asked()
    harness.listed(*FOUR[:3])
    harness.lose(3, 10.0)
    assert harness.asked() == []
    harness.listed(*FOUR)
    assert harness.asked() == keep(3)


def test_of_one_that_is_gone_nothing_is_left(harness: Harness) -> None:
    harness.links.use([FOUR[3]], 100.0)
    harness.listed(*FOUR[:3])
    harness.lose(3, 10.0)
    assert harness.pass_time(200.0)[-1] == ReleaseLink("at math-3")
    assert harness.pass_time(1000.0) == []


def test_one_that_is_not_listed_is_not_let_go_while_its_channel_holds(harness: Harness) -> None:
    harness.links.use([FOUR[3]], 100.0)
    harness.listed(*FOUR[:3])
    harness.asked()
    assert harness.pass_time(200.0) == []
    assert harness.links.is_kept("at math-3")
