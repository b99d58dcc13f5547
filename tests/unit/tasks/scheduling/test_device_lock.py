"""The device is leased in the order of requests, one lease at a time; an old request is ended by a newer one."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext

import pytest

from medvlsam2.errors import Superseded
from medvlsam2.tasks.scheduling.claims import Claims
from medvlsam2.tasks.scheduling.device_lock import DeviceLock


def test_the_device_is_handed_over_in_the_order_of_asking() -> None:
    lock, order = DeviceLock(), []

    def use(name: int) -> None:
        with lock.lease():
            order.append(name)

    with lock.lease():
        threads = []
        for name in range(6):
            threads.append(threading.Thread(target=use, args=(name,)))
            threads[-1].start()
            while len(lock._waiting) <= name:
                time.sleep(0.001)
    for thread in threads:
        thread.join(timeout=5)
    assert order == list(range(6))


def test_a_long_request_lets_another_in_after_one_lease() -> None:
    lock, log = DeviceLock(), []
    started = threading.Event()

    def long() -> None:
        for _ in range(20):
            with lock.lease():
                log.append("long")
                started.set()
                time.sleep(0.01)

    worker = threading.Thread(target=long)
    worker.start()
    started.wait()
    with lock.lease():
        log.append("short")
    worker.join(timeout=5)
    assert log.index("short") <= 3
    assert log.count("long") == 20


def test_a_lease_ends_with_an_error_too() -> None:
    lock = DeviceLock()
    with pytest.raises(ValueError, match="broken"), lock.lease():
        raise ValueError("broken")
    with lock.lease():
        pass


def test_a_long_lease_gives_way() -> None:
    lock, log = DeviceLock(), []
    inside = threading.Event()

    def short() -> None:
        inside.wait()
        with lock.lease():
            log.append("short")

    other = threading.Thread(target=short)
    other.start()
    with lock.lease():
        lock.give_way()
        inside.set()
        while not lock._waiting:
            time.sleep(0.001)
        lock.give_way()
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
