"""One holder at a time, whoever dies; on a key-value store that can only create what is absent."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import lock
from tests.fakes.serve import KeyValueStore


def hold(store: KeyValueStore, holder: str, **options: Any) -> Any:
    return lock.holding(store, "app", holder, **{"timeout_seconds": 60.0, **options})


def take(store: KeyValueStore, holder: str, **options: Any) -> None:
    with hold(store, holder, **options):
        raise AssertionError("two holders")


def test_many_who_want_it_at_once_hold_it_one_after_the_other() -> None:
    store, inside, most = KeyValueStore(), [0], [0]

    def work(number: int) -> None:
        with hold(store, f"job{number}"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            for _ in range(1000):
                store.internal_kv_keys(b"lock", b"")
            inside[0] -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (most, inside) == ([1], [0])
    assert len(store.rows) == 1  # the last key stays, the others are cleared away


def test_the_waiting_one_is_told_who_is_in_the_way() -> None:
    store, told = KeyValueStore(), list[str]()
    with hold(store, "first"), pytest.raises(lock.LockTimeoutError, match="first held the lock 'app'"):
        take(store, "second", timeout_seconds=0.3, on_wait=told.append)
    assert told == ["first"]


def test_a_holder_whose_job_has_ended_is_overtaken_and_cannot_write_any_more() -> None:
    store = KeyValueStore()
    with hold(store, "dead") as dead, hold(store, "next", has_ended=lambda holder: holder == "dead") as held:
        held.check()
        with pytest.raises(lock.LockLostError, match="took the lock 'app' from dead"):
            dead.check()
    with hold(store, "third", timeout_seconds=5) as third:
        third.check()


def test_a_holder_that_shows_no_life_is_overtaken_after_its_lease() -> None:
    store = KeyValueStore()
    store.internal_kv_put(b"lock/app/000000000007", b"silent 3", True, lock.NAMESPACE)
    with hold(store, "next", lease_seconds=0.5) as held:
        held.check()


def test_a_holder_that_lives_is_not_overtaken_by_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.2)
    store = KeyValueStore()
    with hold(store, "alive"), pytest.raises(lock.LockTimeoutError):
        take(store, "next", lease_seconds=2.5, timeout_seconds=4.0)
