"""Registrations through the VIP, from phones behind NAT."""

from __future__ import annotations

import pytest
from cluster_lab import PASSWORD, Lab, until
from sip_text import Request, digest
from sipp_runner import Phone


def test_right_password_makes_one_row(lab: Lab, alice: Phone) -> None:
    result = alice.register(expires=300)
    assert result.code == 0
    assert result.trace.statuses("REGISTER") == [401, 200]
    rows = lab.location("alice")
    assert len(rows) == 1
    row = rows[0]
    assert row["domain"] == lab.domain
    assert row["contact"] == alice.uri
    assert row["socket"] == f"udp:{lab.vip}:5060"
    assert row["received"] == f"sip:{lab.address('router', 'public')}:{alice.port}"
    assert (row["callid"], row["cseq"]) == (alice.call_id, "2")
    lifetime = lab.sql("SELECT expires - UNIX_TIMESTAMP() AS rest FROM location WHERE username='alice'")
    assert 290 <= int(lifetime[0]["rest"]) <= 300
    contacts = result.trace.received[-1].headers("Contact")
    assert len(contacts) == 1
    assert contacts[0].startswith(f"<{alice.uri}>")


@pytest.mark.parametrize(
    ("user", "password", "answers"),
    [("alice", "wrong", [401, 401]), ("mallory", PASSWORD, [401, 401])],
    ids=["wrong-password", "unknown-user"],
)
def test_refused_with_a_challenge(lab: Lab, user: str, password: str, answers: list[int]) -> None:
    phone = Phone(lab, user, lab.port(), password=password)
    assert phone.register().trace.statuses("REGISTER") == answers
    assert lab.location(user) == []


def test_unknown_domain(lab: Lab) -> None:
    phone = Phone(lab, "alice", lab.port(), domain="elsewhere.example.org")
    assert phone.register().trace.statuses("REGISTER") == [403]
    assert lab.location("alice") == []


def test_nobody_registers_for_somebody_else(lab: Lab, bob: Phone) -> None:
    """Right credentials of alice, address of record of bob."""
    assert bob.register(auth_user="alice").trace.statuses("REGISTER") == [401, 403]
    assert lab.location("bob") == []


def test_carriers_do_not_register(lab: Lab) -> None:
    phone = Phone(lab, "alice", lab.port(), host="probe", network="public")
    assert phone.register().trace.statuses("REGISTER") == [405]
    assert lab.location("alice") == []


def test_refresh_keeps_the_row(lab: Lab, alice: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    before = lab.location("alice")
    assert alice.register(expires=600).final("REGISTER") == 200
    after = lab.location("alice")
    assert [row["contact_id"] for row in after] == [before[0]["contact_id"]]
    assert (before[0]["cseq"], after[0]["cseq"]) == ("2", "4")
    assert 295 <= int(after[0]["expires"]) - int(before[0]["expires"]) <= 310


def test_query_answers_the_bindings_and_changes_nothing(lab: Lab, alice: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    before = lab.location("alice")
    result = alice.register(contact="X-Lab: no contact")
    assert result.final("REGISTER") == 200
    answer = result.trace.received[-1].headers("Contact")
    assert len(answer) == 1
    assert answer[0].startswith(f"<{alice.uri}>;")
    assert lab.location("alice") == before


def test_unregister(lab: Lab, alice: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    result = alice.register(expires=0)
    assert result.final("REGISTER") == 200
    assert result.trace.received[-1].headers("Contact") == []
    assert lab.location("alice") == []


def test_unregister_by_expires_header(lab: Lab, alice: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    assert alice.register(contact=f"Contact: <{alice.uri}>\r\nExpires: 0").final("REGISTER") == 200
    assert lab.location("alice") == []


def test_two_contacts_in_two_rows_and_star_removes_both(lab: Lab, alice: Phone) -> None:
    second = Phone(lab, "alice", lab.port())
    assert alice.register().final("REGISTER") == 200
    result = second.register()
    assert result.final("REGISTER") == 200
    assert [row["contact"] for row in lab.location("alice")] == [alice.uri, second.uri]
    assert "".join(result.trace.received[-1].headers("Contact")).count("<sip:") == 2
    assert alice.register(contact="Contact: *\r\nExpires: 0").final("REGISTER") == 200
    assert lab.location("alice") == []


def test_two_contacts_in_one_request(lab: Lab, alice: Phone) -> None:
    other = f"sip:alice@192.168.1.5:{alice.port}"
    contact = f"Contact: <{alice.uri}>;expires=300, <{other}>;expires=300"
    assert alice.register(contact=contact).final("REGISTER") == 200
    assert [row["contact"] for row in lab.location("alice")] == [alice.uri, other]


def test_contact_without_expires_gets_the_default(lab: Lab, alice: Phone) -> None:
    assert alice.register(contact=f"Contact: <{alice.uri}>").final("REGISTER") == 200
    rest = lab.sql("SELECT expires - UNIX_TIMESTAMP() AS rest FROM location WHERE username='alice'")
    default = int(lab.setting("opensips_default_expires"))
    assert len(rest) == 1
    assert default - 10 <= int(rest[0]["rest"]) <= default


def test_short_lifetimes_are_raised_to_the_minimum(lab: Lab, alice: Phone) -> None:
    result = alice.register(expires=5)
    assert result.final("REGISTER") == 200
    minimum = int(lab.setting("opensips_min_expires"))
    rest = int(lab.sql("SELECT expires - UNIX_TIMESTAMP() AS rest FROM location WHERE username='alice'")[0]["rest"])
    assert minimum - 10 <= rest <= minimum


def test_contact_with_quotes_stays_text(lab: Lab, alice: Phone) -> None:
    """What a phone writes into its Contact never becomes SQL."""
    contact = f"sip:alice%27o'hara@198.18.30.50:{alice.port}"
    assert alice.register(contact=f"Contact: <{contact}>;expires=300").final("REGISTER") == 200
    assert [row["contact"] for row in lab.location("alice")] == [contact]


def test_expired_is_not_called_and_goes_away(lab: Lab, alice: Phone, bob: Phone) -> None:
    assert alice.register().final("REGISTER") == 200
    assert bob.register().final("REGISTER") == 200
    lab.sql("UPDATE location SET expires = UNIX_TIMESTAMP() - 1000 WHERE username='bob'")
    assert alice.call("bob").final("INVITE") == 480
    sweep = int(lab.setting("opensips_expire_interval"))
    until(lambda: lab.location("bob"), lambda rows: rows == [], sweep + 5, "the sweep of the expired row")
    assert len(lab.location("alice")) == 1


def _signed_register(lab: Lab, phone: Phone) -> tuple[Request, str]:
    """A REGISTER with credentials, not yet sent."""
    source = (lab.address("phone", "home"), phone.port)
    request = Request("REGISTER", f"sip:{lab.domain}", f"sip:{phone.user}@{lab.domain}", f"sip:{phone.user}@{lab.domain}", source)
    replies = lab.send("phone", source, [request.text()])
    assert [reply.status for reply in replies] == [401]
    request.cseq += 1
    return request, request.text(digest(replies[0], "REGISTER", request.uri, phone.user, PASSWORD))


@pytest.mark.parametrize("insert_takes", [0, 0.7], ids=["fast-database", "slow-database"])
def test_retransmitted_register_makes_one_row(lab: Lab, alice: Phone, insert_takes: float) -> None:
    """The same datagram six times in a row: without a transaction, each would insert a row of its own."""
    request, text = _signed_register(lab, alice)
    if insert_takes:
        with lab.trigger(f"SET @slept = SLEEP({insert_takes})"):
            replies = lab.send("phone", request.source, [text] * 6, until_replies=0, gap=0.1, wait=2.5)
    else:
        replies = lab.send("phone", request.source, [text] * 6, until_replies=0, wait=1)
    assert {reply.status for reply in replies if reply.status >= 200} == {200}
    assert len(lab.location("alice")) == 1
