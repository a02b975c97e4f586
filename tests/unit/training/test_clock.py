"""Checks the time of a run by the clock, with a clock that the tests move."""

import pytest

from vqcodec.training.clock import Clock


class Hand:
    """A clock that stands still but for what a test adds."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_schedules_are_shares_of_the_time_after_the_start(hand: Hand) -> None:
    clock = Clock(minutes=2, steps=1000, began=80.0, now=hand)
    assert clock.position() == 0 and clock.has_time_for(100) and not clock.has_time_for(101), "20 of 120 seconds are over"
    hand.now_s += 25
    assert clock.position() == pytest.approx(250)
    hand.now_s += 500
    assert clock.position() == 1000 and not clock.has_time_for(0)


def test_what_comes_before_the_schedules_start_takes_nothing_of_them(hand: Hand) -> None:
    clock = Clock(minutes=2, steps=1000, began=100.0, now=hand)
    hand.now_s += 60
    clock.start_schedules()
    assert clock.position() == 0 and not clock.has_time_for(61)
    hand.now_s += 15
    assert clock.position() == pytest.approx(250)


def test_time_is_kept_for_the_last_validation_and_checkpoint(hand: Hand) -> None:
    clock = Clock(minutes=2, steps=1000, began=100.0, now=hand)
    clock.took("validation", 8.0)
    clock.took("checkpoint", 2.0)
    assert clock.has_time_for(107) and not clock.has_time_for(107.5), "30 % more than they took"
    hand.now_s += 107
    assert clock.position() == 1000


def test_chores_keep_to_their_share(hand: Hand) -> None:
    clock = Clock(minutes=60, steps=1000, began=100.0, now=hand)
    assert clock.may("validation")
    clock.took("validation", 5.0)
    hand.now_s += 99
    assert not clock.may("validation") and clock.may("checkpoint")
    hand.now_s += 1
    assert clock.may("validation")


def test_a_resumed_part_has_the_time_that_is_left(hand: Hand) -> None:
    first = Clock(minutes=2, steps=1000, began=100.0, now=hand)
    first.took("checkpoint", 10.0)
    hand.now_s += 60
    state, reached = first.state(), first.position()
    hand.now_s += 5000
    second = Clock(**state, steps=1000, began=hand.now_s - 7, reached=reached, now=hand)
    assert second.position() == reached == pytest.approx(60 / 107 * 1000)
    assert second.has_time_for(40) and not second.has_time_for(40.1)
    hand.now_s += 20
    assert second.position() == pytest.approx((reached + 1000) / 2)
