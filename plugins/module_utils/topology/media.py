"""Rules about the media relays: enough of them, and where phones and proxies can reach them."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Finding, Topology

RELAYING = ("mediaproxy", "rtpengine")


def relays_exist(topology: Topology) -> Iterator[Finding]:
    """MED001: without a relay no audio passes between two NATs; with a single one its loss ends all audio."""
    if topology.settings.get("sipha_media_relay") not in RELAYING:
        return
    count = len(topology.group("relays"))
    if count < 2:
        yield Finding(
            "MED001",
            "error",
            "",
            "group relays",
            "it has no hosts, so phones behind NAT have no audio" if not count else "it has one host, and audio ends with it",
            "Put two or more hosts into the group relays (proxies may be in it as well), or set sipha_media_relay: none",
        )


def relays_reachable(topology: Topology) -> Iterator[Finding]:
    """MED002, MED003: a relay is reached by the proxies on the core network, by phones at an address that they can send to."""
    if topology.settings.get("sipha_media_relay") not in RELAYING:
        return
    core, public = topology.network("core"), topology.network("public")
    unread = {(f.host, f.variable) for f in topology.findings}
    phones_are_public = any(vip.address and vip.address.ip.is_global for vip in topology.vips)
    for relay in topology.group("relays"):
        if core and relay.core and relay.core.ip not in core:
            yield Finding(
                "MED002",
                "error",
                relay.name,
                "sipha_core_address",
                f"{relay.core} is not in {core}, the core network of the proxies, so they can't control this relay",
                "Give the relay an address in that network, or waive MED002 with the reason when the two are routed",
            )
        address = relay.media_address
        if not address or address.is_global or (relay.name, "sipha_advertised_address") in unread:
            continue
        if phones_are_public:
            problem = f"phones reach the VIP from the Internet, but their audio would be sent to {address}, which is private"
        elif relay.advertised is None and public and address not in public:
            problem = f"{address} is neither in the public network {public} nor a public address, so phones can't be expected to reach it"
        else:
            continue
        yield Finding(
            "MED003",
            "error",
            relay.name,
            "sipha_public_address" if relay.advertised is None else "sipha_advertised_address",
            problem,
            "Set sipha_advertised_address to the address that phones reach this relay at",
        )
