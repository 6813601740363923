"""Rules about secrets, open doors, and versions that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from .model import NONCE_SECRET_LENGTH, SECRETS, Topology
from .rule import Problem, differing, rule

# What takes a secret decides which characters it may have.
SECRET_CHARACTERS = {"sipha_secret_db_engine": r"[A-Za-z0-9_-]+", "sipha_secret_db_sst": r"[A-Za-z0-9_.+-]+"}
AGAIN = "Remove it and run playbooks/secrets.yml"


def _secrets(topology: Topology) -> dict[str, str]:
    return {name: str(topology.settings[name]) for name in SECRETS if topology.settings.get(name)}


def _network(text: object) -> IPv4Network | None:
    try:
        return IPv4Network(str(text), strict=False)
    except ValueError:
        return None


@rule("SEC001", "error", "a secret that is missing", waivable=False)
def secrets_present(topology: Topology) -> Iterator[Problem]:
    """There are no default passwords."""
    for variable in SECRETS:
        if not topology.settings.get(variable):
            yield "", variable, "it is missing", "Run playbooks/secrets.yml once for this inventory"


@rule("SEC002", "error", "a nonce secret of the wrong length", waivable=False)
def nonce_length(topology: Topology) -> Iterator[Problem]:
    """The engine does not start with another."""
    secret = _secrets(topology).get("sipha_secret_auth_nonce")
    if secret and len(secret) != NONCE_SECRET_LENGTH:
        problem = f"it has {len(secret)} characters, the engine takes exactly {NONCE_SECRET_LENGTH}"
        yield "", "sipha_secret_auth_nonce", problem, AGAIN


@rule("SEC003", "error", "a secret shorter than 16 characters")
def secrets_long(topology: Topology) -> Iterator[Problem]:
    """Short ones are found by trying, on a stolen key file or hash without anybody noticing."""
    for variable, secret in _secrets(topology).items():
        if len(secret) < 16 and variable != "sipha_secret_auth_nonce":
            yield "", variable, "it is shorter than 16 characters", "Use a longer one"


@rule("SEC004", "warning", "two secrets that are the same")
def secrets_distinct(topology: Topology) -> Iterator[Problem]:
    """Who learns one has the other: the engine's database password stands in its script, the SST account copies whole databases."""
    seen: dict[str, str] = {}
    for variable, secret in _secrets(topology).items():
        if secret in seen:
            yield "", variable, f"it is the same as {seen[secret]}", AGAIN
        seen.setdefault(secret, variable)


@rule("SEC005", "warning", "a secret that is easy to guess")
def secrets_strong(topology: Topology) -> Iterator[Problem]:
    """Length alone is nothing when a few characters repeat, or when it begins with a word that everybody tries first."""
    for variable, secret in _secrets(topology).items():
        if len(secret) < 16:
            continue  # SEC003 says so
        if len(set(secret)) < 8:
            yield "", variable, f"it has only {len(set(secret))} different characters", AGAIN
        elif re.match(r"(?i)change|password|secret|opensips|sipha|default|example|12345", secret):
            yield "", variable, "it begins with a word that is tried first", AGAIN


@rule("SEC006", "error", "a secret with characters that its place can't hold", waivable=False)
def secrets_fit(topology: Topology) -> Iterator[Problem]:
    """The engine's stands in a database address, the other in a command of the state transfer."""
    for variable, secret in _secrets(topology).items():
        allowed = SECRET_CHARACTERS.get(variable)
        if allowed and not re.fullmatch(allowed, secret):
            signs = "'_', '-'" if variable == "sipha_secret_db_engine" else "'_', '.', '+', '-'"
            yield (
                "",
                variable,
                "it has characters that don't fit where it is used",
                f"Use letters, digits, {signs}; playbooks/secrets.yml does",
            )


@rule("SEC007", "warning", "a database or arbitrator with a public address")
def databases_hidden(topology: Topology) -> Iterator[Problem]:
    """It needs none; without one, no mistake in a firewall shows it to the world."""
    for host in topology.hosts.values():
        if host.public and {"databases", "arbitrators"} & set(host.groups) and not {"proxies", "relays"} & set(host.groups):
            yield host.name, "sipha_public_address", f"it has {host.public.ip}", "Remove the host from the public network, and the variable"


@rule("SEC008", "warning", "a core network of Internet addresses")
def core_is_private(topology: Topology) -> Iterator[Problem]:
    """Replication between the engines and relay control have no authentication of their own; MI, metrics and SQL are there too."""
    for host in topology.hosts.values():
        if host.core and host.core.ip.is_global:
            problem = f"{host.core.ip} is an address of the Internet"
            yield host.name, "sipha_core_address", problem, "Use a private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16)"


@rule("SEC009", "warning", "the firewall is off")
def firewall_on(topology: Topology) -> Iterator[Problem]:
    """Replication between the engines and RTPEngine's control take orders from anybody who reaches their ports."""
    for name in topology.hosts:
        if topology.value(name, "firewall_enabled") is False:
            yield name, "firewall_enabled", "it is false", "Set it to true, or waive SEC009 with what protects the core network instead"


@rule("SEC011", "warning", "peers without a password in a very large network")
def trusted_peers(topology: Topology) -> Iterator[Problem]:
    """Whoever is inside calls without a digest, at your cost."""
    seen: set[str] = set()
    for host in topology.group("databases"):
        for entry in topology.value(host.name, "sipha_trusted_addresses") or []:
            network = _network(entry.get("address")) if isinstance(entry, Mapping) and entry.get("state") != "absent" else None
            if network and network.prefixlen < 16 and str(network) not in seen:
                seen.add(str(network))
                problem = f"{network} are {network.num_addresses} addresses that need no digest"
                yield "", "sipha_trusted_addresses", problem, "Name the carriers' own addresses"


@rule("SEC012", "warning", "metrics for everybody")
def metrics_hidden(topology: Topology) -> Iterator[Problem]:
    """They tell how many calls and users there are, and when the cluster is weak."""
    for host in topology.group("proxies"):
        for text in topology.value(host.name, "firewall_monitoring_networks") or []:
            network = _network(text)
            if network and network.prefixlen == 0:
                yield host.name, "firewall_monitoring_networks", f"{network} is everybody", "Name the monitoring hosts' networks"


@rule("VER001", "warning", "OpenSIPS 3.4 with Mediaproxy")
def patched_engine(topology: Topology) -> Iterator[Problem]:
    """The 3.4 branch has no fix for GHSA-ggff-j9pg-p572, a stack overflow in its mediaproxy module that a call's SDP can reach."""
    settings = topology.settings
    if settings.get("sipha_opensips_version") == "3.4" and settings.get("sipha_media_relay") == "mediaproxy":
        problem = "the mediaproxy module of 3.4 has a known hole (GHSA-ggff-j9pg-p572)"
        yield "", "sipha_opensips_version", problem, "Set it to 3.6, or sipha_media_relay to rtpengine"


@rule("VER002", "error", "packages of another release series than the script is for")
def packages_fit(topology: Topology) -> Iterator[Problem]:
    """Scripts differ between the series; the engine does not start with another's."""
    version = topology.settings.get("sipha_opensips_version")
    for host in topology.group("proxies"):
        components = [str(c) for c in topology.value(host.name, "opensips_repository_components") or []]
        series = {match[1] for match in (re.match(r"(\d+\.\d+)-", component) for component in components) if match}
        if series and version not in series:
            problem = f"it names {', '.join(sorted(series))}, and sipha_opensips_version is {version}"
            yield host.name, "opensips_repository_components", problem, "Remove it; the default follows the version"


@rule("VER003", "warning", "packages for two Debian releases on one host")
def one_release(topology: Topology) -> Iterator[Problem]:
    """Both programs run on every proxy, and each is built against the libraries of one release."""
    if topology.settings.get("sipha_media_relay") == "mediaproxy":
        for host in topology.group("proxies"):
            engine, media = (topology.value(host.name, f"{role}_repository_suite") for role in ("opensips", "mediaproxy"))
            if engine and media and engine != media:
                problem = f"it is {media}, and opensips_repository_suite is {engine}"
                yield host.name, "mediaproxy_repository_suite", problem, "Set both to the release that the proxies run"


@rule("VER004", "warning", "proxies with packages for different Debian releases")
def same_release(topology: Topology) -> Iterator[Problem]:
    """They are replaced one by one in an upgrade; for good, a fault that only one of them has is found at a failover."""
    for host, mine, most in differing(topology, topology.group("proxies"), "opensips_repository_suite"):
        problem = f"it is {mine} here and {most} on the other proxies"
        yield host, "opensips_repository_suite", problem, "Set it once, or waive VER004 while an upgrade goes on"


RULES = (
    secrets_present,
    nonce_length,
    secrets_long,
    secrets_distinct,
    secrets_strong,
    secrets_fit,
    databases_hidden,
    core_is_private,
    firewall_on,
    trusted_peers,
    metrics_hidden,
    patched_engine,
    packages_fit,
    one_release,
    same_release,
)
