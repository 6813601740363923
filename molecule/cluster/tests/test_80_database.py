"""Database faults: registrations go on where they can, and a 200 always means a row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from cluster_lab import Lab, until
from sipp_runner import Phone, trunk_call

DEADLOCK = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'"
OUTAGE = 12.0  # Galera's own detection of a dead member (about 2.5 s), a refused attempt before it, and Retry-After: 5


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here breaks the database."""


def writer(lab: Lab) -> str:
    """The database node that the VIP holder writes to."""
    return str(json.loads(lab.host(lab.holder()).check("/usr/local/sbin/sipha-db-router status 5"))["writer"])


def refused(statuses: list[int]) -> bool:
    """No 200 in it; 500 is what the engine itself answers when it can't look up a password."""
    return statuses in ([500], [503], [401, 500], [401, 503])


def registers_again(phone: Phone, seconds: float = OUTAGE) -> int:
    """Try as a phone does until it is registered; returns the number of refused attempts."""
    end, attempts = time.monotonic() + seconds, 0
    while True:
        result = phone.register(seconds=8)
        statuses = result.trace.statuses("REGISTER")
        if statuses and statuses[-1] == 200:
            return attempts
        attempts += 1
        assert time.monotonic() < end, f"not registered within {seconds:g} s: {attempts} attempts, the last {statuses}"


def kill_process(lab: Lab, name: str) -> None:
    lab.host(name).check("systemctl kill --signal=KILL mariadb")


def kill_host(lab: Lab, name: str) -> None:
    lab.host(name).kill()


# Connects 60 times, one after the other, and kills HAProxy three times in between; prints how it was received.
KNOCK = """
import socket, subprocess, time
seen = []
for number in range(60):
    if number in (10, 25, 40):
        subprocess.run(["systemctl", "kill", "--signal=KILL", "haproxy"], check=True)
    try:
        with socket.create_connection(("127.0.0.1", 3306), 5) as connection:
            seen.append("greeted" if connection.recv(5)[4:] == bytes([10]) else "closed")
    except ConnectionRefusedError:
        seen.append("refused")
    except ConnectionResetError:
        seen.append("closed")
    time.sleep(0.02)
print(*(f"{seen.count(what)} {what}" for what in ("greeted", "closed", "refused")), sep=", ")
"""


def test_nobody_is_refused_while_haproxy_starts_anew(lab: Lab) -> None:
    """Systemd holds the socket: an engine that has a CDR to write waits, and is not turned away."""
    assert lab.host(lab.standby()).check(f"python3 -c '{KNOCK}'").strip() == "60 greeted, 0 closed, 0 refused"


@pytest.mark.parametrize("kill", [kill_process, kill_host], ids=["process", "host"])
def test_writer_dies(lab: Lab, alice: Phone, kill: Callable[[Lab, str], None]) -> None:
    """Registrations go on through another node; the dead one comes back by itself."""
    assert alice.register().final("REGISTER") == 200
    victim = writer(lab)
    kill(lab, victim)
    try:
        assert registers_again(alice) <= 3
        assert len(lab.location("alice")) == 1
        assert lab.location("alice")[0]["cseq"] == str(alice.cseq - 1)
    finally:
        lab.host(victim).start()
    lab.all_synced()
    assert alice.register().final("REGISTER") == 200
    assert len(lab.location("alice")) == 1


def test_other_node_dies(lab: Lab, alice: Phone) -> None:
    victim = next(name for name in lab.databases if name != writer(lab))
    kill_process(lab, victim)
    assert registers_again(alice) <= 3
    assert len(lab.location("alice")) == 1
    lab.all_synced()


def test_an_engine_that_starts_finds_the_writer_with_all_its_workers(lab: Lab) -> None:
    """Also where it is not the first database, to which everybody goes that knows no writer."""
    first = lab.databases[0]
    if writer(lab) == first:
        kill_process(lab, first)
        until(lambda: writer(lab), lambda name: name != first, 20, "another writer")
        lab.all_synced()
    account = (lab.setting("db_router_port"), "opensips", lab.setting("sipha_secret_db_engine"))
    for name in lab.proxies:
        seen = json.loads(lab.host(name).python("burst", "60", *map(str, account)))
        assert seen == {writer(lab): 60}


@pytest.mark.parametrize("known", [False, True], ids=["first-registration", "refresh"])
def test_no_200_while_writes_meet_a_deadlock(lab: Lab, alice: Phone, known: bool) -> None:
    """Error 1213 is what Galera answers to a write that lost a certification; the engine alone would answer 200."""
    if known:
        assert alice.register().final("REGISTER") == 200
    before = lab.location("alice")
    with lab.trigger(DEADLOCK, "BEFORE UPDATE" if known else "BEFORE INSERT"):
        for _ in range(2):
            assert alice.register().trace.statuses("REGISTER") == [401, 503]
        assert lab.location("alice") == before
    result = alice.register()
    assert result.final("REGISTER") == 200
    rows = lab.location("alice")
    assert len(rows) == 1
    assert rows[0]["cseq"] == str(alice.cseq - 1)


def test_no_200_for_an_unregister_that_did_not_happen(lab: Lab, alice: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    with lab.trigger(DEADLOCK, "BEFORE DELETE"):
        assert alice.register(expires=0).trace.statuses("REGISTER") == [401, 503]
        assert alice.register(contact="Contact: *\r\nExpires: 0").trace.statuses("REGISTER") == [401, 503]
        assert len(lab.location("alice")) == 1
    assert alice.register(expires=0).final("REGISTER") == 200
    assert lab.location("alice") == []


def test_write_that_takes_longer_than_the_engine_waits(lab: Lab, alice: Phone) -> None:
    """The engine gives up, the database goes on: the phone's next attempts must not pile up rows."""
    seconds = int(lab.setting("opensips_db_timeout")) + 1.5
    with lab.trigger(f"SET @slept = SLEEP({seconds})"):
        result = alice.register(seconds=25)
        status = result.trace.statuses("REGISTER")[-1]
        assert status != 200 or len(lab.location("alice")) == 1

    def quiet() -> bool:
        return lab.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'insert into%location%'") == []

    until(quiet, None, 20, "the end of the slow writes")
    assert alice.register().final("REGISTER") == 200
    assert len(lab.location("alice")) == 1


def test_stalled_write_is_not_done_twice(lab: Lab, alice: Phone) -> None:
    """
    A write that stalls for longer than the engine waits (as it does when a Galera member dies) is tried again on a new connection,
    and the database does both when it can go on: without a unique key that makes two rows, and every call would ring twice.
    """
    seconds = int(lab.setting("opensips_db_timeout")) + 1
    lock = f"LOCK TABLES location READ; SELECT 'locked'; SELECT SLEEP({seconds})"
    holder = lab.host(writer(lab)).spawn("mariadb", "--unbuffered", "--skip-column-names", "--execute", lock, "opensips")
    assert holder.stdout
    assert holder.stdout.readline().strip() == "locked"
    status = alice.register(seconds=25).final("REGISTER")
    assert holder.wait(seconds + 10) == 0
    rows = lab.location("alice")
    assert len(rows) <= 1
    assert status != 200 or len(rows) == 1
    assert alice.register().final("REGISTER") == 200
    assert len(lab.location("alice")) == 1


def test_no_200_while_the_database_is_away(lab: Lab, alice: Phone) -> None:
    """Both proxies lose their way to it: nobody can do better, so the VIP stays."""
    holder = lab.settled()
    assert alice.register().final("REGISTER") == 200
    before = lab.location("alice")
    for name in lab.proxies:
        lab.host(name).check("systemctl stop sipha-db.socket")
    assert refused(alice.register().trace.statuses("REGISTER"))
    assert lab.location("alice") == before
    # Not 404: alice is not unknown, nobody could be asked.
    assert trunk_call(lab, "probe", "alice").final("INVITE") == 503
    for name in lab.proxies:
        lab.host(name).check("systemctl start haproxy")
    assert registers_again(alice) <= 2
    assert len(lab.location("alice")) == 1
    assert lab.settled() == holder


def test_without_its_vip_a_proxy_leaves_unanswered_what_it_can_not_do(lab: Lab) -> None:
    """Not even a 100, so that the caller's next INVITE may reach the new holder; with the VIP it says 503."""
    holder = lab.settled()
    for name in lab.proxies:
        lab.host(name).check("systemctl stop sipha-db.socket")
    try:
        lab.mi(holder, "shv_set", "away_main", "int", 1)  # as its agent does; the VIP is still here, so that the call arrives
        silent = trunk_call(lab, "probe", "alice")
    finally:
        lab.mi(holder, "shv_set", "away_main", "int", 0)
    refused_call = trunk_call(lab, "probe", "alice")
    assert lab.holders() == [holder]
    assert len(silent.trace.sent) > 3
    assert [message.status for message in silent.trace.received] == []
    assert [message.status for message in refused_call.trace.received] == [503]


def test_no_200_while_the_database_is_frozen(lab: Lab, alice: Phone) -> None:
    for name in lab.databases:
        lab.host(name).check("systemctl kill --signal=STOP mariadb")
    try:
        statuses = alice.register(seconds=30).trace.statuses("REGISTER")
    finally:
        for name in lab.databases:
            lab.host(name).check("systemctl kill --signal=CONT mariadb")
    assert refused(statuses)
    lab.all_synced()
    registers_again(alice, 30)
    assert len(lab.location("alice")) == 1
