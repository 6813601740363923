"""Fixtures of the cluster's tests. Every test leaves the lab as it found it, also when it fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sipp_runner
from cluster_lab import PROJECT, SIP_PORT, Lab, until
from media_lab import MediaPhone, call
from sipp_runner import Phone, Server

SECOND_TRIES = PROJECT / ".cache/second-tries.txt"
SLEEPER = "frank"
# Registered over several tests: the sleeper, and the two of the long call.
STAY = (SLEEPER, "grace", "heidi")
UNITS = ("opensips", "keepalived", "sipha-agent", "mediaproxy-dispatcher")


def _start_enabled(unit: str) -> str:
    """A command that starts a unit of the media relay that the cluster has, and leaves that of the other one alone."""
    return f"sh -c 'systemctl is-enabled --quiet {unit} && systemctl start {unit}'"


def heal(lab: Lab) -> None:
    """Undo whatever a test, or an aborted run, may have broken; wait until the cluster is whole."""
    for name in lab.databases:
        lab.host(name).start()
        lab.host(name).run("pgrep --runstates T mariadbd && systemctl kill --signal=CONT mariadb")
        lab.host(name).run("systemctl start --no-block mariadb")
    for name in lab.proxies:
        lab.host(name).run("pgrep --runstates T opensips && systemctl kill --signal=CONT opensips")
        lab.host(name).run("systemctl start haproxy opensips sipha-agent keepalived")
        lab.host(name).run(_start_enabled("mediaproxy-dispatcher"))
    for name in lab.relays:
        lab.host(name).start()
        lab.host(name).run("pgrep --runstates T media-relay && systemctl kill --signal=CONT mediaproxy-relay")
        lab.host(name).run(_start_enabled("mediaproxy-relay"))
    lab.all_synced()
    lab.sql("DROP TRIGGER IF EXISTS lab_trigger")
    lab.settled()


@pytest.fixture(scope="session")
def lab() -> Lab:
    lab = Lab()
    heal(lab)
    sipp_runner.install(lab, "phone", "phone2", "probe", "router")
    return lab


@pytest.fixture(scope="session")
def mediaproxy(lab: Lab) -> None:
    """For tests of Mediaproxy itself: skipped where its packages could not be had when the lab was built."""
    if lab.media_relay() != "mediaproxy":
        pytest.skip(f"the lab relays with {lab.media_relay()}: there were no packages of Mediaproxy when it was built")


def _gateway_active(lab: Lab) -> None:
    def state() -> str:
        sets = lab.mi(lab.holder(), "ds_list")["PARTITIONS"][0]["SETS"]
        return str(sets[0]["Destinations"][0]["state"])

    until(state, lambda seen: seen == "Active", 40, "the carrier's gateway Active at the VIP holder")


@pytest.fixture(scope="module")
def carrier(lab: Lab) -> Iterator[Server]:
    """The carrier that the cluster's gateway set names: answers probes and calls."""
    with sipp_runner.serve(lab, "probe", "public", SIP_PORT, "answer", "-s", "carrier", seconds=1800, name="carrier") as server:
        _gateway_active(lab)
        yield server


@pytest.fixture(scope="session")
def long_call(lab: Lab) -> Iterator[tuple[MediaPhone, MediaPhone, str, float]]:
    """A call that is up while other tests run (those of calls begin it); it becomes long meanwhile, and nobody waits for it."""
    with call(lab, "grace", "heidi", seconds=900) as (grace, heidi, call_id):
        for phone in (grace, heidi):
            phone.mark()
        yield grace, heidi, call_id, time.monotonic()


@pytest.fixture
def media_carrier(lab: Lab) -> Iterator[MediaPhone]:
    """The same carrier, but one that talks. Not in one module with `carrier`: both are at the gateway's port."""
    sipp_runner.stop(lab, "probe", "carrier")  # what an aborted run left behind
    with MediaPhone.carrier(lab, port=SIP_PORT) as phone:
        _gateway_active(lab)
        yield phone


@dataclass
class Sleeper:
    """A phone that registered for an hour and has said nothing since: nothing listens at its port, so it does not even answer pings."""

    phone: Phone
    since: float


@pytest.fixture(scope="session", autouse=True)
def sleeper(lab: Lab) -> Sleeper:
    lab.sql("DELETE FROM location")
    phone = Phone(lab, SLEEPER, 9998)  # no port that lab.port() gives to others
    assert phone.register(expires=3600).final("REGISTER") == 200
    return Sleeper(phone, time.monotonic())


@pytest.fixture(autouse=True)
def no_registrations(lab: Lab, sleeper: Sleeper) -> None:
    lab.sql("DELETE FROM location WHERE username NOT IN (?, ?, ?)", *STAY)


def _phone(lab: Lab, user: str) -> Phone:
    return Phone(lab, user, lab.port())


@pytest.fixture
def alice(lab: Lab) -> Phone:
    return _phone(lab, "alice")


@pytest.fixture
def bob(lab: Lab) -> Phone:
    return _phone(lab, "bob")


@pytest.fixture
def carol(lab: Lab) -> Phone:
    return _phone(lab, "carol")


@pytest.fixture
def started() -> float:
    """When this test began."""
    return time.time()


@pytest.fixture
def moved(lab: Lab) -> tuple[str, str]:
    """For a test that moves the VIP itself: who has it, who shall get it."""
    holder = lab.settled()
    return holder, next(name for name in lab.proxies if name != holder)


@pytest.fixture
def long() -> None:
    """For a test that would make the whole run longer than it may be."""
    if not os.environ.get("SIPHA_LONG"):
        pytest.skip("it takes minutes: SIPHA_LONG=1 runs it")


@pytest.fixture
def healed(lab: Lab) -> Iterator[None]:
    """For tests that break something: whatever happens, the cluster is whole again before the next test."""
    yield
    heal(lab)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What the proxies logged goes into the report of a failed test."""
    outcome: Any = yield
    report = outcome.get_result()
    if call.when == "setup":
        item.stash[_began] = call.start
    lab = getattr(item, "funcargs", {}).get("lab")
    if not report.failed or lab is None:
        return
    for name in lab.proxies:
        lines = lab.host(name).journal(item.stash.get(_began, call.start), *UNITS).splitlines()
        report.sections.append((f"journal of {name}", "\n".join(lines[-60:])))


_began = pytest.StashKey[float]()


def _reason(report: pytest.TestReport) -> str:
    """The line that says why, at most 300 characters of it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash else report.longrepr).split())[:300]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tests that failed and passed at their second try are named, with what they said; tools/run_tests.py counts them."""
    tried = terminalreporter.stats.get("rerun", [])
    SECOND_TRIES.parent.mkdir(exist_ok=True)
    SECOND_TRIES.write_text("".join(f"{report.nodeid}: {_reason(report)}\n" for report in tried))
    for report in tried:
        terminalreporter.section(f"failed at its first try: {report.nodeid}")
        terminalreporter.write_line(str(report.longrepr))
        for title, text in report.sections:
            terminalreporter.write_line(f"---- {title}\n{text}")
