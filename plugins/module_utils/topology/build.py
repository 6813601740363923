"""inventory (groups + host variables) -> Topology. Whatever can't be read becomes a Finding, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from .model import CHOICES, DEFAULTS, GROUPS, SECRETS, Finding, Host, Topology, Vip
from .variables import CLUSTER, KINDS, VARIABLES, Variable, parse, wrong_range

# read(host, variable) -> value or None; raises ValueError when the variable's template can't be resolved
Reader = Callable[[str, str], Any]

CLUSTER_VARIABLES = (*DEFAULTS, "sipha_domain", "sipha_vips", "sipha_waivers", "sipha_planned_calls")


def _interface(value: Any, host: str, variable: str, findings: list[Finding]) -> IPv4Interface | None:
    if value in (None, ""):
        return None
    text = str(value)
    try:
        if "/" not in text:
            raise ValueError("no prefix length")
        return IPv4Interface(text)
    except ValueError:
        findings.append(
            Finding(
                "INV003",
                "error",
                host,
                variable,
                f"'{text}' is not an IPv4 address with its prefix length",
                "Set it like 198.18.20.11/24",
            )
        )
        return None


def _address(value: Any, host: str, variable: str, findings: list[Finding]) -> IPv4Address | None:
    if value in (None, ""):
        return None
    try:
        return IPv4Address(str(value))
    except ValueError:
        findings.append(
            Finding("INV003", "error", host, variable, f"'{value}' is not an IPv4 address", "Set it like 203.0.113.31, without a prefix")
        )
        return None


def _vips(value: Any, findings: list[Finding]) -> tuple[Vip, ...]:
    def bad(problem: str) -> None:
        findings.append(
            Finding(
                "VIP001",
                "error",
                "",
                "sipha_vips",
                problem,
                "Set it to a list of {name, address with prefix, router_id 1-255, preferred: [proxies]}",
            )
        )

    if value is None:
        bad("it is missing")
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        bad("it is not a list with at least one VIP")
        return ()
    vips: list[Vip] = []
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            bad(f"entry {index} is not a mapping")
            continue
        unknown = sorted(str(k) for k in set(entry) - {"name", "address", "router_id", "preferred"})
        if unknown:
            bad(f"entry {index} has the unknown key '{unknown[0]}'")
        name = str(entry.get("name") or "")
        if not (name.isascii() and name.isidentifier()):
            bad(f"entry {index} has the name '{name}', which is not letters, digits and underscores")
            continue
        if any(vip.name == name for vip in vips):
            bad(f"two VIPs have the name '{name}'")
        address = _interface(entry.get("address"), "", "sipha_vips", findings)
        if address is None and not entry.get("address"):
            bad(f"VIP {name} has no address")
        router_id = entry.get("router_id")
        if isinstance(router_id, bool) or not isinstance(router_id, int) or not 1 <= router_id <= 255:
            bad(f"VIP {name} has the router_id '{router_id}', which is not a number from 1 to 255")
            router_id = 0
        preferred = entry.get("preferred") or []
        if not isinstance(preferred, Sequence) or isinstance(preferred, str):
            bad(f"VIP {name}: preferred is not a list of proxies")
            preferred = []
        vips.append(Vip(name, address, int(router_id), tuple(str(p) for p in preferred)))
    return tuple(vips)


def _judged(value: Any, variable: Variable) -> tuple[Any, tuple[str, str, str] | None]:
    """The parsed value, or None and (rule, problem, remedy)."""
    parsed = parse(value, variable)
    if variable.choices and parsed not in variable.choices:
        return None, ("INV005", f"'{str(value)[:40]}' is not known here", f"Set it to one of: {', '.join(variable.choices)}")
    if parsed is None:
        text = repr(value) if len(repr(value)) <= 40 else repr(value)[:37] + "..."
        return None, ("INV012", f"{text} is not {KINDS[variable.kind]}", f"Set it to {KINDS[variable.kind]}, or remove it for the default")
    wanted = wrong_range(parsed, variable)
    if wanted:
        return None, ("INV013", f"{value} is out of range", f"Set it to {wanted}")
    return parsed, None


def _role_variables(membership: Mapping[str, Sequence[str]], read: Reader, findings: list[Finding]) -> dict[str, dict[str, Any]]:
    """What the inventory sets, by host. One finding for a wrong value that all hosts share."""
    values: dict[str, dict[str, Any]] = {host: {} for host in membership}
    for name, variable in VARIABLES.items():
        users = [host for host in membership if not set(variable.groups).isdisjoint(membership[host])]
        wrong: dict[tuple[str, str, str], list[str]] = {}
        for host in users:
            try:
                value = read(host, name)
            except ValueError:
                # Not an error: a role may resolve it later, with facts that are not there yet. Rules take it as unknown.
                values[host][name] = None
                continue
            if value is None:
                continue
            values[host][name], problem = _judged(value, variable)
            if problem:
                wrong.setdefault(problem, []).append(host)
        for (rule, text, remedy), hosts in wrong.items():
            for host in [""] if len(hosts) == len(users) else sorted(hosts):
                findings.append(Finding(rule, "error", host, name, text, remedy))
    return values


def _node_ids(proxies: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The number that each proxy pins (opensips_node_id), or else its place in the order of names."""
    return {name: int(variables[name].get("opensips_node_id") or place) for place, name in enumerate(proxies, 1)}


def _defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Parsed like the inventory's own values; what is no plain value (a template) is left out."""
    known = {name: _judged(defaults[name], variable)[0] for name, variable in VARIABLES.items() if defaults.get(name) is not None}
    return {name: value for name, value in known.items() if value is not None and "{{" not in str(value)}


def build(groups: Mapping[str, Sequence[str]], read: Reader, defaults: Mapping[str, Any] | None = None) -> Topology:
    """Build the model. Reads each variable through `read`, so that the caller decides how templates are resolved.

    `defaults` are the roles' own; rules about variables without a known value say nothing."""
    findings: list[Finding] = []
    membership: dict[str, list[str]] = {}
    for group in GROUPS:
        for host in groups.get(group, ()):
            membership.setdefault(str(host), []).append(group)

    def get(host: str, variable: str) -> Any:
        try:
            return read(host, variable)
        except ValueError as error:
            findings.append(
                Finding(
                    "INV009",
                    "error",
                    host,
                    variable,
                    f"its value can't be resolved ({error})",
                    "Correct the template or define what it refers to",
                )
            )
            return None

    settings: dict[str, Any] = dict(DEFAULTS)
    for variable in (*CLUSTER_VARIABLES, *SECRETS):
        seen: dict[str, Any] = {}
        for host in sorted(membership):
            value = get(host, variable)
            if value is not None:
                seen[host] = value
        values = list(seen.values())
        if values:
            settings[variable] = values[0]
        if variable in CHOICES and values and not isinstance(values[0], str):  # 3.6 is a number in YAML; a list can't be looked up
            settings[variable] = str(values[0])
        if len(seen) not in (0, len(membership)) or any(v != values[0] for v in values):
            findings.append(
                Finding(
                    "INV008",
                    "error",
                    "",
                    variable,
                    "it is not the same on every host of the cluster",
                    "Set it once, in group_vars/all",
                )
            )

    for variable, wanted in CLUSTER.items():
        if settings.get(variable) is not None:
            settings[variable], problem = _judged(settings[variable], wanted)
            if problem:
                findings.append(Finding(problem[0], "error", "", variable, *problem[1:]))

    variables = _role_variables(membership, read, findings)
    node_ids = _node_ids(sorted(host for host, member_of in membership.items() if "proxies" in member_of), variables)
    hosts = {}
    for name, member_of in membership.items():
        hosts[name] = Host(
            name=name,
            groups=tuple(member_of),
            core=_interface(get(name, "sipha_core_address"), name, "sipha_core_address", findings),
            public=_interface(get(name, "sipha_public_address"), name, "sipha_public_address", findings),
            core_interface=str(get(name, "sipha_core_interface") or ""),
            public_interface=str(get(name, "sipha_public_interface") or ""),
            public_gateway=str(_address(get(name, "sipha_public_gateway"), name, "sipha_public_gateway", findings) or ""),
            advertised=_address(get(name, "sipha_advertised_address"), name, "sipha_advertised_address", findings),
            failure_domain="" if (domain := get(name, "sipha_failure_domain")) is None else str(domain),
            node_id=node_ids.get(name, 0),
        )
    vips = _vips(settings.get("sipha_vips"), findings)
    return Topology(settings, hosts, vips, tuple(findings), variables, _defaults(defaults or {}))
