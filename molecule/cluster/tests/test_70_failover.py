"""The VIP moves, and nothing is lost but the moment."""

from __future__ import annotations

import re
import time

import pytest
from cluster_lab import Lab, until
from sipp_runner import Phone, start, trunk_call
from test_40_standby import check_pings

# The engine hands the packets of one dialog to several workers: this is an update that came before what it updates. Nothing is lost.
OVERTAKEN = "dialog:receive_dlg_repl: Failed to process a binary packet!"
# The VIP leaves a proxy milliseconds before its tag does, and a NAT ping or a probe of the carrier may be due just then. The other proxy
# sends the next one.
LEFT = re.compile(
    r"nathelper:(msg_send|nh_timer)|tm:msg_send: send\(\) to \S+:5060 for proto udp|proto_udp_send: sendto.*Network is unreachable"
)
BAD_LINES = re.compile(r"unmatched|non-local socket|\b(ERROR|CRITICAL|ALERT|EMERG)\b:?", re.IGNORECASE)


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here moves the VIP about."""


def move_vip(lab: Lab, old: str, new: str) -> None:
    lab.host(old).check("systemctl stop keepalived")
    until(lab.holders, lambda found: found == [new], 5, f"the VIP on {new} only")
    until(lab.tag_states, lambda seen: seen == {old: "backup", new: "active"}, 5, f"the sharing tag active on {new} only")


def steady_holder(lab: Lab, seconds: float = 2) -> str:
    """One holder with the only active tag, unchanged for so long; what was killed a moment ago may still make the VIP move."""
    history: list[tuple[float, str]] = []

    def look() -> float:
        holders, tags = lab.holders(), lab.tag_states()
        right = len(holders) == 1 and tags == {name: "active" if name in holders else "backup" for name in lab.proxies}
        if not right or (history and history[-1][1] != holders[0]):
            history.clear()
        if right:
            history.append((time.monotonic(), holders[0]))
        return history[-1][0] - history[0][0] if history else 0

    until(look, lambda since: since >= seconds, 20, f"one holder with the active tag for {seconds:g} s")
    return history[-1][1]


def bad_lines(lab: Lab, since: float, left: str) -> list[str]:
    """What the proxies complained about; `left` is the one that lost the VIP."""
    return [
        f"{name}: {line}"
        for name in lab.proxies
        for line in lab.host(name).journal(since, "opensips").splitlines()
        if BAD_LINES.search(line) and OVERTAKEN not in line and not (name == left and LEFT.search(line))
    ]


def test_call_through_the_other_proxy(lab: Lab, bob: Phone, moved: tuple[str, str], started: float) -> None:
    """Registered through one proxy, called through the other; the row's socket is one that it knows."""
    old, new = moved
    assert bob.register().final("REGISTER") == 200
    move_vip(lab, old, new)
    lab.mi(new, "log_level", 4)
    try:
        with bob.listens() as at_bob, lab.capture("router", "public", 20) as at_router:
            debug = time.time()
            result = trunk_call(lab, "probe", "bob", hold=1.2)
            trace = at_bob.wait_for("BYE")
            arrived = at_router.requests("INVITE", target_port=bob.port)
    finally:
        lab.mi(new, "log_level", int(lab.setting("opensips_log_level")))
    assert (result.code, result.errors) == (0, "")
    assert [len(trace.requests(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    assert [(entry["source"], entry["source_port"]) for entry in arrived] == [(lab.vip, 5060)]
    row = lab.one_cdr(result.call_id, 200)
    assert row["callee"] == f"sip:bob@{lab.domain}"
    spoken = lab.host(new).journal(debug, "opensips")
    assert "DBG:" in spoken  # an unknown socket is only told at this level
    assert "non-local socket" not in spoken
    assert bad_lines(lab, started, old) == []


def test_call_in_the_air_survives(lab: Lab, alice: Phone, bob: Phone, moved: tuple[str, str], started: float) -> None:
    """Answered through one proxy, hung up through the other: the BYE arrives, and the call has one accounting row."""
    old, new = moved
    with bob.waits("answer_hangs_up", hold=4) as at_bob:
        call = alice.start_call("bob", "call_waits_for_bye")
        at_bob.wait_for("ACK")
        move_vip(lab, old, new)
        trace = until(lambda: at_bob.trace, lambda seen: seen.statuses("BYE") == [200], 10, "200 to the BYE of bob")
        result = call.finished()
    assert (result.code, result.errors) == (0, "")
    assert len(trace.requests("INVITE")) == 1
    row = lab.one_cdr(result.call_id, 200)
    assert 3500 <= int(row["ms_duration"]) <= 5500
    assert bad_lines(lab, started, old) == []


def test_every_call_that_is_handed_over_has_its_cdr(lab: Lab, bob: Phone, moved: tuple[str, str]) -> None:
    """Many calls whose ACK comes at once: the other proxy's copy of the dialog must carry what the CDR needs, each time."""
    calls = 60
    options = ["-s", "+4989777", "-key", "from_domain", "carrier.example.net", "-key", "domain", lab.domain, "-key", "callee", "bob"]
    with bob.waits() as at_bob:
        caller = start(lab, "probe", "public", lab.port(), "trunk_call", *options, "-m", str(calls), "-r", "25", "-d", "9000", seconds=40)
        at_bob.wait_for("ACK", calls, 12)
        move_vip(lab, *moved)
        result = caller.finished()
    assert (result.code, result.errors) == (0, "")
    assert len({message.call_id for message in result.trace.sent}) == calls

    def rows() -> list[str]:
        return [row["callid"] for row in lab.sql("SELECT callid FROM acc WHERE sip_code='200' AND callid LIKE ?", f"%-{own}")]

    own = result.call_id.split("-", 1)[1]
    until(rows, lambda seen: len(seen) >= calls, 10, f"{calls} accounting rows")
    assert sorted(rows()) == sorted({message.call_id for message in result.trace.sent})


def test_registration_is_refreshed_through_the_other_proxy(lab: Lab, alice: Phone, moved: tuple[str, str]) -> None:
    assert alice.register().final("REGISTER") == 200
    before = lab.location("alice")
    move_vip(lab, *moved)
    assert alice.register().final("REGISTER") == 200
    after = lab.location("alice")
    assert [row["contact_id"] for row in after] == [before[0]["contact_id"]]
    assert after[0]["socket"] == f"udp:{lab.vip}:5060"


def test_healed_proxy_does_not_take_the_vip_back(lab: Lab, moved: tuple[str, str]) -> None:
    old, new = moved
    move_vip(lab, old, new)
    lab.host(old).check("systemctl start keepalived")
    end = time.monotonic() + 5
    seen = set()
    while time.monotonic() < end:
        seen.add(tuple(lab.holders()))
    assert seen == {(new,)}
    assert lab.settled() == new
    assert lab.tag_states() == {old: "backup", new: "active"}


def test_one_pinger_after_a_failover(lab: Lab, alice: Phone, bob: Phone, carol: Phone, moved: tuple[str, str]) -> None:
    for phone in (alice, bob, carol):
        assert phone.register().final("REGISTER") == 200
    move_vip(lab, *moved)
    lab.host(moved[0]).check("systemctl start keepalived")
    check_pings(lab, [alice, bob, carol])
    assert lab.holder() == moved[1]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_tag_is_right_after_a_restart_of_the_engine(lab: Lab, alice: Phone, how: str) -> None:
    """Stay or move, the VIP has one holder, and the tag is where it is."""
    holder = lab.settled()
    command = "systemctl restart opensips" if how == "restart" else "systemctl kill --signal=KILL opensips"
    lab.host(holder).check(command)
    steady_holder(lab)
    lab.settled()
    assert alice.register().final("REGISTER") == 200
    assert len(lab.location("alice")) == 1


def test_tag_is_right_after_keepalived_is_killed(lab: Lab, alice: Phone) -> None:
    holder = lab.settled()
    lab.host(holder).check("systemctl kill --signal=KILL keepalived")
    steady_holder(lab)
    lab.settled()
    assert alice.register().final("REGISTER") == 200


def test_frozen_engine_loses_the_vip(lab: Lab, alice: Phone) -> None:
    """A process that exists but does not answer is down."""
    holder = lab.settled()
    other = next(name for name in lab.proxies if name != holder)
    lab.host(holder).check("systemctl kill --signal=STOP opensips")
    try:
        until(lab.holders, lambda found: found == [other], 10, f"the VIP on {other} only")
        assert alice.register().final("REGISTER") == 200
        said = lab.host(holder).check("journalctl --unit=sipha-agent --since=-10s --no-pager")
        assert said.count("the engine is down: the others are told to take main") == 1
    finally:
        lab.host(holder).check("systemctl kill --signal=CONT opensips")
    assert lab.settled() == other
    assert lab.tag_states() == {holder: "backup", other: "active"}


@pytest.mark.parametrize("seconds", [2, 4])
def test_a_short_break_of_replication_leaves_one_tag(lab: Lab, bob: Phone, moved: tuple[str, str], seconds: int) -> None:
    """The new holder says once that it has the tag, while nobody hears it; the break ends before the engine has noticed it."""
    old, new = moved
    port, table = lab.setting("opensips_bin_port"), "table inet lab_cut"
    rules = f"tcp dport {port} drop; tcp sport {port} drop;"
    chains = " ".join(f"chain {hook} {{ type filter hook {hook} priority -5; {rules} }};" for hook in ("input", "output"))
    both = {old: "active", new: "active"}
    try:
        lab.host(old).check(f"echo '{table} {{ {chains} }}' | nft -f -")
        lab.host(old).check("systemctl stop keepalived")
        until(lab.tag_states, lambda seen: seen == both, 5, "the tag on both, who don't hear each other")
        began = time.monotonic()
        assert trunk_call(lab, "probe", "nobody").trace.statuses("INVITE") == [404]
        until(lambda: time.monotonic() - began, lambda past: past > seconds, seconds + 1, "a break that is long enough")
        assert lab.tag_states() == both
    finally:
        lab.host(old).run(f"nft delete {table}")
    until(lab.tag_states, lambda seen: seen == {old: "backup", new: "active"}, 8, f"the tag active on {new} only")
