"""What a proxy binds and to whom it speaks VRRP; the templates of roles opensips and keepalived say the same."""

from __future__ import annotations

from .model import Topology

SIP_PORT = 5060


def sockets(topology: Topology) -> dict[str, list[str]]:
    """The SIP sockets of every proxy: each VIP (bound by the standby too), and the core address, which answers health probes only."""
    found = {}
    for host in topology.group("proxies"):
        port = int(topology.number(host.name, "opensips_port") or SIP_PORT)
        vips = [vip.address.ip for vip in topology.vips if vip.address]
        found[host.name] = [f"{protocol}:{address}:{port}" for address in vips for protocol in ("udp", "tcp")]
        if host.core:
            found[host.name].append(f"udp:{host.core.ip}:{port}")
    return found


def peers(topology: Topology) -> dict[str, list[str]]:
    """The unicast VRRP peers of every proxy: the public addresses of the others."""
    proxies = topology.group("proxies")
    return {host.name: [str(other.public.ip) for other in proxies if other.public and other is not host] for host in proxies}
