"""Rules about what the hosts say (module host_look). A running cluster must not trip any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from statistics import median

from ..clock import culprits
from .live import Interface, Live, LiveRule, Looks, Unsure, live_rule
from .model import GROUPS, Host, Topology
from .rule import Problem, shown
from .rules_capacity import SYSTEM_MEMORY, programs
from .sockets import SIP_PORT

PROXIES = ("proxies",)
DEBIAN = 12  # what it is built and tested on
PYTHON = (3, 11)
SKEW = 0.5  # s, where time_sync_max_skew is not known
DATABASE = "/var/lib/mysql"
ROOM = {"/etc": 16, "/var": 256, DATABASE: 512}  # MB
ROOMY = 2048  # MB
FILES = 1000  # inodes
RELAY_FILES = 1000  # descriptors of a relay besides its ports
Findings = Iterator[Problem | Unsure]
Addressed = tuple[Host, Live, str, IPv4Interface, str]


def _seen(topology: Topology, looks: Looks, *groups: str) -> list[tuple[Host, Live]]:
    """Hosts of these groups, each once, that were looked at."""
    return [(topology.hosts[name], looks[name]) for name in sorted(topology.users(groups or GROUPS)) if name in looks]


def _addresses(topology: Topology, looks: Looks) -> Iterator[Addressed]:
    """(host, look, "core" or "public", address, interface of the inventory)."""
    for host, live in _seen(topology, looks):
        if host.core:
            yield host, live, "core", host.core, host.core_interface
        if host.public:
            yield host, live, "public", host.public, host.public_interface


def _joined(values: object) -> str:
    return ", ".join(str(value) for value in values) if isinstance(values, (list, tuple, set)) else str(values)


@live_rule("LIVE001", "error", "an address of the inventory that no interface of its host has", waivable=False)
def address_is_there(topology: Topology, looks: Looks) -> Findings:
    """Programs bind it and firewalls name it. Loopback does not count."""
    for host, live, kind, address, _ in _addresses(topology, looks):
        if live.interfaces is None:
            yield host.name, f"sipha_{kind}_address", "its interfaces can't be seen", "Install the Debian package iproute2"
        elif not live.carrying(address.ip):
            own = [str(one) for link in live.interfaces if not link.loopback for one in link.addresses]
            problem = f"no interface has {address.ip}; the host has {_joined(own) or 'no address'}"
            yield host.name, f"sipha_{kind}_address", problem, "Set it to an address that the host really has"


@live_rule("LIVE002", "error", "an interface of the inventory that is not there or has not the address", waivable=False)
def interface_is_there(topology: Topology, looks: Looks) -> Findings:
    """VRRP would speak on a network where nobody listens."""
    for host, live, kind, address, wanted in _addresses(topology, looks):
        carrying = [link.name for link in live.carrying(address.ip)]
        if not wanted or live.interfaces is None or wanted in carrying:
            continue
        problem = f"{wanted} has not {address.ip}"
        if wanted not in {link.name for link in live.interfaces}:
            problem = f"there is no interface {wanted}; there are {_joined([link.name for link in live.interfaces])}"
        remedy = f"Set it to {carrying[0]}, or remove it" if carrying else "Remove it: the interface is found by its address"
        yield host.name, f"sipha_{kind}_interface", problem, remedy


@live_rule("LIVE003", "error", "a prefix length that is another on the host")
def prefix_is_right(topology: Topology, looks: Looks) -> Findings:
    """The host would send to a router what is its neighbour, or the other way round, and rules about networks judged a wrong picture."""
    for host, live, kind, address, _ in _addresses(topology, looks):
        there = {one.network.prefixlen for link in live.carrying(address.ip) for one in link.addresses if one.ip == address.ip}
        if there and address.network.prefixlen not in there:
            problem = f"it says {address}, the host has {address.ip}/{min(there)}"
            yield host.name, f"sipha_{kind}_address", problem, f"Set it to {address.ip}/{min(there)}, or correct the host"


@live_rule("LIVE004", "warning", "an interface without a link")
def interface_is_up(topology: Topology, looks: Looks) -> Findings:
    """It has its address and reaches nobody."""
    for host, live, kind, address, _ in _addresses(topology, looks):
        links = live.carrying(address.ip)
        if links and all(link.up is False for link in links):
            yield host.name, f"sipha_{kind}_address", f"{links[0].name}, which has {address.ip}, is down", "Bring the interface up"


def _public(host: Host, live: Live) -> Interface | None:
    links = live.carrying(host.public.ip) if host.public else []
    return links[0] if links else None


@live_rule("LIVE005", "warning", "a proxy's gateway that is not behind its public interface")
def gateway_is_near(topology: Topology, looks: Looks) -> Findings:
    """Its answers tell whether the public network is there. One behind another interface tells about another network."""
    remedy = "Set it to the router of the public network"
    for host, live in _seen(topology, looks, "proxies"):
        link = _public(host, live)
        if not link or live.gateways is None:
            continue
        networks = sorted({address.network for address in link.addresses})
        if host.public_gateway:
            if not any(IPv4Address(host.public_gateway) in network for network in networks):
                problem = f"{host.public_gateway} is not in {_joined(networks)}, where {link.name} is"
                yield host.name, "sipha_public_gateway", problem, remedy
        elif not live.gateways:
            yield host.name, "sipha_public_gateway", "it is not set, and the host has no default route to take it from", remedy
        elif live.gateways[0][1] != link.name:
            gateway, interface = live.gateways[0]
            problem = f"it is not set, and the default route's, {gateway}, is behind {interface}, not {link.name}"
            yield host.name, "sipha_public_gateway", problem, remedy


def _holding(topology: Topology, looks: Looks, address: IPv4Address) -> list[str]:
    """Proxies with the address on their public interface; on any, where that is not known."""
    found = []
    for host, live in _seen(topology, looks, "proxies"):
        own, links = _public(host, live), live.carrying(address)
        if own in links or (links and not own):
            found.append(host.name)
    return found


@live_rule("LIVE006", "error", "a VIP on a host that is no proxy", across=GROUPS)
def vip_on_a_proxy(topology: Topology, looks: Looks) -> Findings:
    """Two machines would answer for it: that host for ever, since nothing there gives it away."""
    for vip in topology.vips:
        for host, live in _seen(topology, looks):
            links = live.carrying(vip.address.ip) if vip.address and "proxies" not in host.groups else []
            if links and vip.address:
                problem = f"VIP {vip.name} {vip.address.ip} is on {links[0].name}, and the host is no proxy"
                yield host.name, "sipha_vips", problem, "Remove the address there, or set another for the VIP"


@live_rule("LIVE007", "error", "a VIP that more than one proxy has", across=PROXIES)
def one_holder(topology: Topology, looks: Looks) -> Findings:
    """The network is split, or VRRP does not pass between them; changes now would hit calls on both."""
    for vip in topology.vips:
        holders = _holding(topology, looks, vip.address.ip) if vip.address else []
        if len(holders) > 1 and vip.address:
            problem = f"VIP {vip.name} {vip.address.ip} is on {' and '.join(holders)} at once"
            remedy = "See that VRRP (IP protocol 112) passes between them, or stop keepalived on all but one, and run this again"
            yield "", "sipha_vips", problem, remedy


@live_rule("LIVE008", "error", "a VIP that a stranger answers for", across=PROXIES)
def vip_is_free(topology: Topology, looks: Looks) -> Findings:
    """Phones would reach that machine, or now the one and now the other. Every proxy without the VIP asks its segment."""
    proxies = topology.names("proxies")
    names = {link.mac: name for name, live in looks.items() for link in live.interfaces or () if not link.loopback and link.mac}
    absent = [name for name in proxies if name not in looks or looks[name].interfaces is None]
    for vip in topology.vips:
        text = str(vip.address.ip) if vip.address else ""
        asked = {host.name: live.probes[text] for host, live in _seen(topology, looks, "proxies") if text in live.probes}
        heard = {name: probe.answers for name, probe in asked.items() if probe.answers is not None}
        strangers = sorted({mac for macs in heard.values() for mac in macs if names.get(mac) not in proxies})
        if strangers and absent and not any(mac in names for mac in strangers):
            yield Unsure(next(iter(heard)), f"{_joined(strangers)} answers for {text} and may be that of {_joined(absent)}")
        elif strangers:
            who = _joined([f"{mac} ({names[mac]})" if mac in names else mac for mac in strangers])
            problem = f"VIP {vip.name} {text} is answered by {who}, which is no proxy of this cluster (asked from {_joined(list(heard))})"
            yield "", "sipha_vips", problem, "Take the address from that machine, or choose a free one"
        elif not heard:
            for name, probe in asked.items():
                if not probe.carried:
                    yield Unsure(name, probe.error or "it did not ask")


@live_rule("LIVE009", "error", f"another system than Debian {DEBIAN} or later", waivable=False)
def debian(topology: Topology, looks: Looks) -> Findings:
    """Packages, their paths and their units are Debian's."""
    for host, live in _seen(topology, looks):
        if live.system != "debian" or (live.version is not None and live.version < DEBIAN):
            problem = f"it is {live.system or 'unknown'} {live.version or ''}".rstrip()
            yield host.name, "operating system", problem, f"Give the cluster a host with Debian {DEBIAN}"


@live_rule("LIVE010", "warning", "a Debian that this release was not tested on")
def debian_is_tested(topology: Topology, looks: Looks) -> Findings:
    """Newer packages may want other settings."""
    for host, live in _seen(topology, looks):
        if live.system == "debian" and (live.version is None or live.version > DEBIAN):
            problem = f"it is Debian {live.version or 'testing or unstable'}, tested is {DEBIAN}"
            yield host.name, "operating system", problem, f"Take Debian {DEBIAN}, or waive LIVE010"


@live_rule("LIVE011", "error", "a host that systemd does not run", waivable=False)
def systemd(topology: Topology, looks: Looks) -> Findings:
    """Every daemon is a unit."""
    for host, live in _seen(topology, looks):
        if live.init != "systemd":
            yield host.name, "init", f"it is {live.init or 'unknown'}", "Boot the host, or the container, with systemd as process 1"


@live_rule("LIVE012", "error", "no Python that our daemons run with", waivable=False)
def python(topology: Topology, looks: Looks) -> Findings:
    """The agent, the health endpoint and some checks are Python."""
    wanted = ".".join(map(str, PYTHON))
    for host, live in _seen(topology, looks):
        if live.python < PYTHON:
            problem = f"/usr/bin/python3 is {'.'.join(map(str, live.python)) or 'missing'}"
            yield host.name, "python3", problem, f"Install Debian's package python3 ({wanted} or later)"


@live_rule("LIVE013", "warning", "a host where Ansible is not root")
def is_root(topology: Topology, looks: Looks) -> Findings:
    """Looking works without, changing does not."""
    for host, live in _seen(topology, looks):
        if live.root is False:
            yield host.name, "ansible_become", "Ansible is not root on the host", "Set it to true, or let Ansible log in as root"


@live_rule("LIVE014", "error", "a kernel that has not what a role sets")
def kernel(topology: Topology, looks: Looks) -> Findings:
    """A standby binds the VIP that it does not have. A Mediaproxy relay lets the kernel carry media, and sees it by connection tracking."""
    for host, live in _seen(topology, looks):
        needed = ["net.ipv4.ip_nonlocal_bind"] if "proxies" in host.groups else []
        relay = "relays" in host.groups and topology.settings["sipha_media_relay"] == "mediaproxy"
        if relay:
            needed.append("net.ipv4.ip_forward")
            if live.conntrack == "loaded":
                needed.append("net.netfilter.nf_conntrack_acct")
            if live.conntrack == "missing":
                problem = "it has no connection tracking (nf_conntrack), neither loaded nor as a module"
                yield host.name, "kernel", problem, "Take Debian's kernel, or load nf_conntrack where the container's kernel is"
        for name in needed:
            value, writable = live.sysctls.get(name, ("?", True))
            if not value:
                yield host.name, "kernel", f"it has no {name}", "Take a kernel that has it, such as Debian's"
            elif value != "1" and not writable and live.root:
                problem = f"{name} is {value} and can't be written"
                yield host.name, "kernel", problem, "Let the container write /proc/sys, or set it to 1 from outside"


@live_rule("LIVE015", "error", "a relay whose processes may not open enough files")
def open_files(topology: Topology, looks: Looks) -> Findings:
    """One for each port and some more; a relay that gets less does not start."""
    for host, live in _seen(topology, looks, "relays"):
        variable, first, last = "media_relay_port_range", None, None
        if topology.settings["sipha_media_relay"] == "rtpengine":
            variable = "rtpengine_port_max"
            first, last = topology.number(host.name, "rtpengine_port_min"), topology.number(host.name, variable)
        elif topology.settings["sipha_media_relay"] == "mediaproxy":
            start, _, end = str(topology.value(host.name, variable) or "").partition(":")
            if start.isdecimal() and end.isdecimal() and len(start + end) <= 10:
                first, last = float(start), float(end)
        if first is None or last is None or live.open_files is None:
            continue
        if last - first + RELAY_FILES > live.open_files:
            ports, files = last - first, last - first + RELAY_FILES
            problem = f"its {shown(ports)} ports need {shown(files)} open files, the host allows {shown(live.open_files)}"
            yield (
                host.name,
                variable,
                problem,
                f"Set at most {shown(max(0, live.open_files - RELAY_FILES))} ports, or raise the host's limit",
            )


def _disks(topology: Topology, looks: Looks) -> Iterator[tuple[Host, str, float, float, float | None]]:
    """(host, path, MB needed, MB free, files free)."""
    for host, live in _seen(topology, looks):
        for path, needed in ROOM.items():
            disk = live.disks.get(path)
            if not disk or (path == DATABASE and "databases" not in host.groups):
                continue
            cache = topology.number(host.name, "galera_gcache_size") if path == DATABASE and not disk.exists else 0
            yield host, path, needed + (cache or 0), disk.free, disk.files


@live_rule("LIVE016", "error", "a disk without room")
def room(topology: Topology, looks: Looks) -> Findings:
    """A full disk stops an installation half way, and the database for good. A database's first start writes galera_gcache_size at once."""
    for host, path, needed, free, files in _disks(topology, looks):
        if free < needed:
            yield host.name, f"disk {path}", f"{shown(free)} MB are free, {shown(needed)} are needed", "Make room, or give it a bigger disk"
        elif files is not None and files < FILES:
            yield (
                host.name,
                f"disk {path}",
                f"it has room for {shown(files)} more files only",
                "Remove files, or give it another file system",
            )


@live_rule("LIVE017", "warning", "little room for the database")
def roomy(topology: Topology, looks: Looks) -> Findings:
    """A member that joins by a copy needs room for all data, and call records grow."""
    for host, path, needed, free, _files in _disks(topology, looks):
        if path == DATABASE and needed <= free < ROOMY:
            yield host.name, f"disk {path}", f"{shown(free)} MB are free", f"Give it {ROOMY} MB or more"


@live_rule("LIVE018", "error", "a program that is given more memory than its host has")
def memory(topology: Topology, looks: Looks) -> Findings:
    """It does not start, or the kernel ends it."""
    for host, live in _seen(topology, looks):
        for variable, least, _ in programs(topology, host):
            if live.memory is not None and least > live.memory:
                yield host.name, variable, f"{shown(least)} MB, and the host has {shown(live.memory)} MB", "Lower it"


@live_rule("LIVE019", "warning", "programs that may take more memory than their host has")
def memory_of_all(topology: Topology, looks: Looks) -> Findings:
    """The kernel ends the biggest program when memory is out. Where none of them runs yet, what is free now counts as well."""
    for host, live in _seen(topology, looks):
        given = programs(topology, host)
        least, most = sum(least for _, least, _ in given), sum(most for _, _, most in given)
        if not given or live.memory is None or any(row[1] > live.memory for row in given):
            continue
        running = ({listener.process for listener in live.listeners} | live.hidden) & {"opensips", "mariadbd"}
        if most + SYSTEM_MEMORY > live.memory:
            problem = f"programs may take {shown(most)} MB, the system {SYSTEM_MEMORY} MB, and the host has {shown(live.memory)} MB"
            yield host.name, given[-1][0], problem, "Lower it, or give the host more memory"
        elif not running and live.available is not None and least > live.available:
            problem = f"programs take {shown(least)} MB at their start, and {shown(live.available)} MB are free now"
            yield host.name, given[-1][0], problem, "Lower it, or end what takes the memory"


@dataclass(frozen=True)
class Port:
    """What a role listens on, and who may be there already."""

    variable: str
    port: int
    protocols: tuple[str, ...]
    addresses: tuple[str, ...]
    ours: tuple[str, ...]  # processes and units


ENGINE, ROUTER = ("opensips", "opensips.service"), ("haproxy", "haproxy.service")
DATABASES = ("mariadbd", "mariadb.service")
UNITS = {
    "mediaproxy": ("mediaproxy-dispatcher.service", "mediaproxy-relay.service"),
    "rtpengine": ("rtpengine", "rtpengine-daemon.service"),
}


def _ports(topology: Topology, host: Host) -> Iterator[Port]:
    core = (str(host.core.ip),) if host.core else ()
    local, tcp = ("127.0.0.1",), ("tcp",)
    vips = tuple(str(vip.address.ip) for vip in topology.vips if vip.address)
    relay = topology.media_relay

    def port(
        variable: str, protocols: tuple[str, ...], addresses: tuple[str, ...], ours: tuple[str, ...], fixed: int = 0
    ) -> Iterator[Port]:
        number = fixed or topology.number(host.name, variable)
        if number:
            yield Port(variable, int(number), protocols, addresses, ours)

    if "proxies" in host.groups:
        sip = int(topology.number(host.name, "opensips_port") or SIP_PORT)
        yield from port("opensips_port", ("udp", "tcp"), vips, ENGINE, sip)
        yield from port("opensips_port", ("udp",), core, ENGINE, sip)
        yield from port("opensips_bin_port", tcp, core, ENGINE)
        yield from port("opensips_metrics_port", tcp, core, ENGINE)
        yield from port("db_router_port", tcp, local, ROUTER)
        yield from port("db_router_peers_port", tcp, core, ROUTER)
        if relay == "mediaproxy":
            yield from port("mediaproxy_control_port", tcp, core, UNITS[relay])
            yield from port("mediaproxy_management_port", tcp, core, UNITS[relay])
    if "databases" in host.groups:
        yield from port("group databases", tcp, local + core, DATABASES, 3306)
        yield from port("group databases", tcp, core, DATABASES, 4567)
        yield from port("galera_tls_port", tcp, core, ROUTER)
        yield from port("galera_health_port", tcp, core, ("sipha-galera-health.service",))
    if "arbitrators" in host.groups:
        yield from port("group arbitrators", tcp, core, ("garbd", "sipha-garbd.service"), 4567)
    if "relays" in host.groups and relay == "rtpengine":
        yield from port("rtpengine_control_port", ("udp", "tcp"), core, UNITS[relay])


@live_rule("LIVE020", "error", "a port of ours that a foreign process has")
def ports(topology: Topology, looks: Looks) -> Findings:
    """Our daemon would not start, in the middle of a run. Our own, already running, is no stranger: where it can't be seen whose a port is,
    it is taken for that of our daemon, if that runs."""
    for host, live in _seen(topology, looks):
        taken: dict[tuple[str, int, str], set[str]] = {}
        for port in _ports(topology, host):
            for one in live.listeners:
                here = one.address in (*port.addresses, "0.0.0.0", "::") and one.port == port.port and one.protocol in port.protocols  # noqa: S104
                if here and not ({one.process, one.unit} if one.owner else live.hidden) & set(port.ours):
                    taken.setdefault((port.variable, port.port, one.owner), set()).add(one.protocol)
        for (variable, number, owner), protocols in sorted(taken.items()):
            what = f"{' and '.join(sorted(protocols))} port {number}"
            if owner:
                remedy = "Stop and disable it there" + ("" if variable.startswith("group") else f", or set {variable} to a free port")
                yield host.name, variable, f"{owner} has {what}", remedy
            else:
                yield Unsure(host.name, f"somebody has {what}, and Ansible may not see who")


def _late(topology: Topology, looks: Looks, alone: bool) -> Findings:
    """Hosts whose clock is surely off, where nothing sets it (alone) or role time_sync does."""
    clocks = {host.name: live.clock for host, live in _seen(topology, looks) if live.clock}
    limits = [topology.number(name, "time_sync_max_skew") or SKEW for name in clocks]
    for name in culprits(clocks, min(limits, default=SKEW)):
        if (topology.value(name, "time_sync_set_clock") is False) != alone:
            continue
        away = clocks[name].middle - median(clock.middle for other, clock in clocks.items() if other != name)
        problem = f"the clock is {abs(away):.1f} s {'ahead of' if away > 0 else 'behind'} the others'"
        yield name, "time_sync_set_clock" if alone else "time_sync_servers", problem, ""


@live_rule("LIVE021", "warning", "a clock that is off", across=GROUPS)
def clocks(topology: Topology, looks: Looks) -> Findings:
    """Expiry times of registrations and certificates are compared between hosts. Role time_sync is about to correct it, and measures again;
    here only what is surely more than time_sync_max_skew counts."""
    for one in _late(topology, looks, alone=False):
        yield one if isinstance(one, Unsure) else (*one[:3], "See that the host reaches these servers")


@live_rule("LIVE022", "error", "a clock that is off, and nothing sets it", across=GROUPS)
def clocks_alone(topology: Topology, looks: Looks) -> Findings:
    """With time_sync_set_clock false the daemon only measures, so the run would end with the same error, hosts changed."""
    for one in _late(topology, looks, alone=True):
        yield one if isinstance(one, Unsure) else (*one[:3], "Set it to true, or correct the clock where it is kept (the hypervisor)")


def _twice(looks: Looks, values: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """(host, value, the host that had it first)."""
    owner: dict[str, str] = {}
    for name, mine in values.items():
        for value in mine:
            if value and owner.setdefault(value, name) != name:
                yield name, value, owner[value]


@live_rule("LIVE023", "warning", "two hosts with one host name", across=GROUPS)
def hostnames(topology: Topology, looks: Looks) -> Findings:
    """Logs and the database's own messages name the host; two of a kind mislead whoever reads them."""
    for host, value, other in _twice(looks, {host.name: [live.hostname.lower()] for host, live in _seen(topology, looks)}):
        yield host, "host name", f"it is {value}, like that of {other}", f"Set another: hostnamectl set-hostname {host}"


@live_rule("LIVE024", "warning", "two hosts with one machine-id", across=GROUPS)
def machine_ids(topology: Topology, looks: Looks) -> Findings:
    """One is a clone of the other: the journal can't tell them apart, and DHCP may give both one address."""
    for host, value, other in _twice(looks, {host.name: [live.machine_id] for host, live in _seen(topology, looks)}):
        remedy = "Remove /etc/machine-id and /var/lib/dbus/machine-id, run systemd-machine-id-setup, reboot"
        yield host, "/etc/machine-id", f"it is {value}, like that of {other}", remedy


@live_rule("LIVE025", "error", "two hosts with one hardware address", across=GROUPS)
def macs(topology: Topology, looks: Looks) -> Findings:
    """A switch sends to one of them what is for the other, and changes its mind with every packet."""
    seen: dict[str, list[str]] = {}
    for host, live, _, address, _ in _addresses(topology, looks):
        seen.setdefault(host.name, []).extend(link.mac for link in live.carrying(address.ip) if link.mac.strip("0:"))
    for host_name, value, other in _twice(looks, seen):
        yield host_name, "hardware address", f"{value} is that of {other} too", "Give the cloned machine an own one, in its hypervisor"


@live_rule("LIVE026", "error", "a CA that the controller does not have")
def known_ca(topology: Topology, looks: Looks) -> Findings:
    """It would make a new one, or has another, and give its certificates to one host after the other: databases and routers that have them
    no longer talk to those that have not. Waive it for the one run in which you want a new CA, and calls may stop."""
    strange = [
        (host.name, live)
        for host, live in _seen(topology, looks)
        if live.controller_ca is not None and live.ca not in ("", live.controller_ca)
    ]
    if strange:
        hosts, own = _joined([name for name, _ in strange]), "has another" if strange[0][1].controller_ca else "has none"
        remedy = "Copy that directory from the controller that built the cluster, or set sipha_pki_dir to where it is"
        yield "", "sipha_pki_dir", f"{hosts} trust a CA, and the controller's directory {own}", remedy


RULES: tuple[LiveRule, ...] = (
    address_is_there,
    interface_is_there,
    prefix_is_right,
    interface_is_up,
    gateway_is_near,
    vip_on_a_proxy,
    one_holder,
    vip_is_free,
    debian,
    debian_is_tested,
    systemd,
    python,
    is_root,
    kernel,
    open_files,
    room,
    roomy,
    memory,
    memory_of_all,
    ports,
    clocks,
    clocks_alone,
    hostnames,
    machine_ids,
    macs,
    known_ca,
)
