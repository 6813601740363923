"""Rules about addresses, subnets and gateways."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

from .model import Host, Topology
from .rule import Problem, rule


def _interfaces(host: Host) -> list[tuple[str, IPv4Interface]]:
    pairs = (("sipha_core_address", host.core), ("sipha_public_address", host.public))
    return [(variable, address) for variable, address in pairs if address]


def _edge(address: IPv4Interface) -> bool:
    """The network's own address or its broadcast address."""
    network = address.network
    return network.prefixlen < 31 and address.ip in (network.network_address, network.broadcast_address)


@rule("NET001", "error", "one address with two owners")
def duplicate_addresses(topology: Topology) -> Iterator[Problem]:
    """Both hosts answer ARP for it, and each gets the other's packets."""
    owner: dict[object, str] = {}
    for host, variable, address in topology.addresses():
        if address in owner:
            yield host, variable, f"{address} already belongs to {owner[address]}", "Give each host its own address"
        owner.setdefault(address, host)


@rule("NET002", "error", "public and core network overlap")
def separate_networks(topology: Topology) -> Iterator[Problem]:
    """What is on the core network (SQL, replication between the engines, relay control) must not be reachable from the public one. Judged
    for the networks of the proxies, and for each host's own: a prefix that is too wide takes the public network in."""
    public, core = topology.network("public"), topology.network("core")
    if public and core and public.overlaps(core):
        problem = f"the public network {public} and the core network {core} overlap"
        yield "", "sipha_public_address, sipha_core_address", problem, "Use two separate networks"
        return
    for host in topology.hosts.values():
        outside = host.public.network if host.public else public
        if host.core and outside and host.core.network.overlaps(outside) and (host.public or host.core.ip not in outside):
            problem = f"its network {host.core.network} and the public network {outside} overlap"
            yield host.name, "sipha_core_address", problem, "Give it the core network's prefix length, or an address in another network"


@rule("NET003", "error", "proxies that do not share their networks")
def proxies_share_networks(topology: Topology) -> Iterator[Problem]:
    """VRRP works inside one segment."""
    for kind in ("public", "core"):
        network = topology.network(kind)
        for host in topology.group("proxies"):
            address = host.public if kind == "public" else host.core
            if network and address and address.network != network:
                problem = f"{address} is not in {network}, the {kind} network of the other proxies"
                yield host.name, f"sipha_{kind}_address", problem, "Put all proxies into the same network"


@rule("NET004", "error", "a host at the network or broadcast address of its subnet")
def edge_addresses(topology: Topology) -> Iterator[Problem]:
    """The kernel takes packets to them as broadcasts, so no connection to the host comes up."""
    for host in topology.hosts.values():
        for variable, address in _interfaces(host):
            if _edge(address):
                yield host.name, variable, f"{address} is the network or broadcast address of {address.network}", "Choose a host address"


@rule("NET005", "warning", "a public gateway outside the public network")
def gateway_in_network(topology: Topology) -> Iterator[Problem]:
    """A gateway is reached without a gateway. An answer from further away says less about the own segment, and fails for more reasons."""
    for host in topology.group("proxies"):
        if host.public_gateway and host.public and IPv4Address(host.public_gateway) not in host.public.network:
            problem = f"{host.public_gateway} is not in {host.public.network}, the host's public network"
            yield (
                host.name,
                "sipha_public_gateway",
                problem,
                "Set it to the router of that network, or remove it to take the default route's",
            )


@rule("NET006", "error", "a public gateway that is a machine of the cluster")
def gateway_is_a_stranger(topology: Topology) -> Iterator[Problem]:
    """A proxy that asks itself or a peer whether the network is there hears yes when its uplink is gone, so it keeps the VIP."""
    owner = {address: host for host, _, address in topology.addresses()}
    for host in topology.group("proxies"):
        address = IPv4Address(host.public_gateway) if host.public_gateway else None
        if address in owner:
            problem = f"{address} belongs to {owner[address]}" if address else ""
            yield host.name, "sipha_public_gateway", problem, "Set it to the router of the public network"


@rule("NET007", "warning", "public and core network on one interface")
def two_interfaces(topology: Topology) -> Iterator[Problem]:
    """One cable carries both, so its loss is the loss of everything at once."""
    for host in topology.hosts.values():
        if host.public and host.public_interface and host.public_interface == host.core_interface:
            problem = f"it is {host.public_interface}, and so is sipha_core_interface"
            yield host.name, "sipha_public_interface", problem, "Name two interfaces; VLANs (eth0.10, eth0.20) are two"


@rule("NET008", "warning", "a database outside the core network of the proxies")
def databases_are_near(topology: Topology) -> Iterator[Problem]:
    """Every write waits for every database; a router between them is one more machine whose loss stops all writes."""
    core, public = topology.network("core"), topology.network("public")
    for host in topology.group("databases"):
        if core and host.core and host.core.ip not in core and not (public and host.core.ip in public):
            problem = f"{host.core} is not in {core}, the core network of the proxies"
            yield host.name, "sipha_core_address", problem, "Give it an address there, or waive NET008 with how the two are routed"


@rule("NET009", "error", "an address that no host can have")
def special_addresses(topology: Topology) -> Iterator[Problem]:
    """Loopback, link-local, multicast and reserved addresses reach no other host."""
    rows = [(host.name, variable, address.ip) for host in topology.hosts.values() for variable, address in _interfaces(host)]
    rows += [(host.name, "sipha_advertised_address", host.advertised) for host in topology.hosts.values() if host.advertised]
    rows += [("", "sipha_vips", vip.address.ip) for vip in topology.vips if vip.address]
    for name, variable, address in rows:
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
            yield name, variable, f"{address} is a loopback, link-local, multicast or reserved address", "Set the address that others reach"


@rule("NET010", "warning", "a core address inside the public network")
def core_is_not_public(topology: Topology) -> Iterator[Problem]:
    """SQL, state transfer and relay control would listen where phones and strangers are; only the firewall would be between."""
    public, core = topology.network("public"), topology.network("core")
    if public and core and public.overlaps(core):
        return  # NET002 says so
    for host in topology.hosts.values():
        if public and host.core and host.core.ip in public and not {"proxies", "relays"} & set(host.groups):
            yield (
                host.name,
                "sipha_core_address",
                f"{host.core} is in the public network {public}",
                "Give it an address on the core network",
            )


RULES = (
    duplicate_addresses,
    separate_networks,
    proxies_share_networks,
    edge_addresses,
    gateway_in_network,
    gateway_is_a_stranger,
    two_interfaces,
    databases_are_near,
    special_addresses,
    core_is_not_public,
)
