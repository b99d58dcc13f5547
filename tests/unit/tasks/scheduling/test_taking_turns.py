"""Turns are taken in order, nobody waits longer than one of them, and old requests make way for newer ones."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext

import pytest

from medvlsam2.errors import Superseded
from medvlsam2.tasks.scheduling.turns import Claims, Turns


def test_the_device_is_handed_over_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def use(name: int) -> None:
        with turns.turn():
            order.append(name)

    with turns.turn():
        threads = []
        for name in range(6):
            threads.append(threading.Thread(target=use, args=(name,)))
            threads[-1].start()
            while len(turns._waiting) <= name:
                time.sleep(0.001)
    for thread in threads:
        thread.join(timeout=5)
    assert order == list(range(6))


def test_a_long_request_lets_another_in_after_one_turn() -> None:
    turns, log = Turns(), []
    started = threading.Event()

    def long() -> None:
        for _ in range(20):
            with turns.turn():
                log.append("long")
                started.set()
                time.sleep(0.01)

    worker = threading.Thread(target=long)
    worker.start()
    started.wait()
    with turns.turn():
        log.append("short")
    worker.join(timeout=5)
    assert log.index("short") <= 3
    assert log.count("long") == 20


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="broken"), turns.turn():
        raise ValueError("broken")
    with turns.turn():
        pass


def test_a_long_turn_gives_way() -> None:
    turns, log = Turns(), []
    inside = threading.Event()

    def short() -> None:
        inside.wait()
        with turns.turn():
            log.append("short")

    other = threading.Thread(target=short)
    other.start()
    with turns.turn():
        turns.give_way()
        inside.set()
        while not turns._waiting:
            time.sleep(0.001)
        turns.give_way()
        log.append("long")
    other.join(timeout=5)
    assert log == ["short", "long"]


def test_only_the_newest_request_for_an_object_goes_on() -> None:
    claims = Claims()
    with claims.claim("scan", ["liver"]) as first:
        first.check()
        with claims.claim("scan", ["spleen"]), claims.claim("other scan", ["liver"]):
            first.check()
            with claims.claim("scan", ["liver"]) as second:
                second.check()
                with pytest.raises(Superseded, match="newer request for 'liver'"):
                    first.check()
        second.check()
    with claims.claim("scan", ["liver"]) as third:
        third.check()
    assert claims._active == []


@pytest.mark.parametrize(
    ("older", "newer", "is_replaced"),
    [
        (["liver"], ["spleen", "liver"], True),
        (["liver", "spleen"], ["spleen", "liver"], True),
        (["liver", "spleen"], ["liver"], False),
        (["object", "object"], ["object"], False),
    ],
)
def test_a_request_makes_way_for_one_that_answers_all_of_it(
    older: list[str], newer: list[str], is_replaced: bool
) -> None:
    claims, outcome = Claims(), pytest.raises(Superseded) if is_replaced else nullcontext()
    with claims.claim("scan", older) as first, claims.claim("scan", newer), outcome:
        first.check()
