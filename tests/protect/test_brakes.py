"""A jail that runs wild is noticed, and stopped where that is wanted."""

from guard.protect.brakes import Brakes, Ruling

GO = Ruling(ban=True)
NO = Ruling(ban=False)


def test_many_bans_are_an_alarm_once_a_minute():
    """Bans go on; the operator is told, not flooded; another jail is not concerned."""
    brakes = Brakes(per_minute=3)
    assert [brakes.ask("a", 10.0 + i) for i in range(3)] == [GO] * 3
    fourth = brakes.ask("a", 14.0)
    assert fourth.ban
    assert fourth.alarm == "jail a: more than 3 bans within a minute"
    assert brakes.ask("a", 15.0) == GO
    assert brakes.ask("b", 15.0) == GO
    assert brakes.ask("a", 200.0) == GO
    assert not brakes.stopped(200.0)


def test_a_halt_stops_the_jail_for_a_while():
    """With `halt`: no ban until the stop is over, then from the beginning."""
    brakes = Brakes(per_minute=2, halt=True, stop=600.0)
    assert [brakes.ask("a", float(i)) for i in range(2)] == [GO] * 2
    halted = brakes.ask("a", 2.0)
    assert not halted.ban
    assert "stopped for 10m" in halted.alarm
    assert brakes.ask("a", 601.0) == NO
    assert brakes.stopped(3.0) == {"a": (602.0, "more than 2 bans within a minute")}
    assert brakes.ask("a", 602.0) == GO
    assert brakes.stopped(602.0) == {}


def test_a_jail_that_bans_the_well_known_is_stopped():
    """At the third address in good standing within an hour, halt or not."""
    brakes = Brakes(per_minute=0, most_good=3)
    assert brakes.ask("a", 0.0, good=True) == GO
    assert brakes.ask("a", 4000.0, good=True) == GO
    assert brakes.ask("a", 4001.0, good=True) == GO
    third = brakes.ask("a", 4002.0, good=True)
    assert not third.ban
    assert "3 addresses in good standing" in third.alarm
    assert brakes.ask("a", 4003.0) == NO
    assert brakes.release("a")
    assert brakes.ask("a", 4004.0) == GO
    assert not brakes.release("unknown")


def test_a_clock_set_back_does_not_stop_a_jail():
    """Times from the future are forgotten, not counted for hours."""
    brakes = Brakes(per_minute=2, halt=True)
    for i in range(2):
        assert brakes.ask("a", 1000.0 + i).ban
    assert brakes.ask("a", 10.0).ban
    assert brakes.ask("a", 11.0).ban
