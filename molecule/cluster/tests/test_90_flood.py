"""A flood from one source is ignored, and nobody else notices."""

from __future__ import annotations

from cluster_lab import Lab, until
from sip_text import Request
from sipp_runner import Phone, trunk_call

FLOOD = 600


def _options(lab: Lab, host: str) -> Request:
    source = (lab.address(host, "public"), lab.port())
    return Request("OPTIONS", f"sip:{lab.domain}", f"sip:flood@{lab.domain}", f"sip:{lab.domain}", source)


def test_flood_is_ignored(lab: Lab, bob: Phone) -> None:
    # The flood's address stays blocked for a minute: no other test sends from it, and an earlier run may have.
    request = _options(lab, "relay2")
    until(lambda: lab.send("relay2", request.source, [_options(lab, "relay2").text()], wait=0.5), None, 75, "the end of an earlier block")
    answered = lab.send("relay2", request.source, [request.text()], until_replies=0, gap=0.002, wait=1, times=FLOOD)
    limit = int(lab.setting("opensips_source_request_limit"))
    assert {reply.status for reply in answered} == {200}
    assert len(answered) <= 2 * limit  # it is counted in turns of two seconds, of which the flood may touch two
    assert lab.send("relay2", request.source, [request.text()], wait=1) == []
    with bob.waits() as at_bob:  # others are served
        result = trunk_call(lab, "probe", "bob", hold=0.5)
        at_bob.wait_for("BYE")
    assert (result.code, result.errors) == (0, "")


def test_trusted_source_is_not_limited(lab: Lab) -> None:
    """Negative control: the same flood from the carrier is answered, every single request."""
    request = _options(lab, "probe")
    answered = lab.send("probe", request.source, [request.text()], until_replies=FLOOD, gap=0.002, wait=5, times=FLOOD)
    assert [reply.status for reply in answered] == [200] * FLOOD
