"""Audio between phones behind two different NATs, counted at both ends: only a relay makes it pass."""

from __future__ import annotations

import pytest
from cluster_lab import Lab
from media_lab import MediaPhone, connect, flowing, measured, media_ok, talked


@pytest.fixture(scope="module")
def relays(lab: Lab) -> set[str]:
    """The addresses that phones may see media come from."""
    return {lab.address(name, "public") for name in lab.relays}


def test_phone_to_phone_through_two_nats(lab: Lab, relays: set[str]) -> None:
    with MediaPhone(lab, "alice") as alice, MediaPhone(lab, "bob", "phone2", "home2") as bob:
        alice.register()
        bob.register()
        call_id = connect(alice, bob)
        media_ok(alice, bob, through=relays)
        assert {given.address for phone in (alice, bob) for given in phone.stats().given} <= relays
        print(lab.mi(lab.holder(), "dlg_list"))
        print(lab.mi(lab.standby(), "dlg_list"))
        alice.bye()
        bob.wait("bye", by="them")
    assert lab.one_cdr(call_id, 200)
