"""The role variables that rules read: on which hosts, of which kind, in which range. Ranges are those that the roles accept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PORT = (1, 65535)
KINDS = {
    "number": "a number",
    "count": "a whole number",
    "size": "a size like 256M or 2G",
    "flag": "true or false",
    "text": "text",
    "list": "a list",
    "mapping": "a mapping",
}


@dataclass(frozen=True)
class Variable:
    kind: str
    groups: tuple[str, ...]  # whose hosts the variable matters on
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


_PROXY, _RELAY, _DATABASE = ("proxies",), ("relays",), ("databases",)
_ALL = ("proxies", "databases", "arbitrators", "relays")

VARIABLES: dict[str, Variable] = {
    "sipha_memory": Variable("count", _ALL, 1),
    "sipha_trusted_addresses": Variable("list", _DATABASE),
    "firewall_enabled": Variable("flag", _ALL),
    "firewall_monitoring_networks": Variable("list", _PROXY),
    "time_sync_max_skew": Variable("number", _ALL, 0.01, 10),
    "time_sync_set_clock": Variable("flag", _ALL),
    "keepalived_advertisement_interval": Variable("number", _PROXY, 0.01, 40),
    "keepalived_garp_refresh": Variable("count", _PROXY, 0),
    "proxy_agent_sip_port": Variable("count", _PROXY, *PORT),
    "proxy_agent_db_port": Variable("count", _PROXY, *PORT),
    "proxy_agent_sip_interval": Variable("number", _PROXY, 0),
    "proxy_agent_sip_timeout": Variable("number", _PROXY, 0),
    "proxy_agent_sip_fall": Variable("count", _PROXY, 1),
    "opensips_node_id": Variable("count", _PROXY, 1, 255),
    "opensips_port": Variable("count", _PROXY, *PORT),
    "opensips_bin_port": Variable("count", _PROXY, *PORT),
    "opensips_metrics_port": Variable("count", _PROXY, *PORT),
    "opensips_udp_workers": Variable("count", _PROXY, 1),
    "opensips_patience": Variable("count", _PROXY, 0, 20),
    "opensips_tcp_workers": Variable("count", _PROXY, 1),
    "opensips_shared_memory": Variable("count", _PROXY, 1),
    "opensips_private_memory": Variable("count", _PROXY, 1),
    "opensips_db_name": Variable("text", _PROXY),
    "opensips_db_port": Variable("count", _PROXY, *PORT),
    "opensips_db_timeout": Variable("number", _PROXY, 0),
    "opensips_default_expires": Variable("count", _PROXY, 0),
    "opensips_min_expires": Variable("count", _PROXY, 0),
    "opensips_max_expires": Variable("count", _PROXY, 0),
    "opensips_natping_interval": Variable("count", _PROXY, 0),
    "opensips_expire_grace": Variable("count", _PROXY, 0),
    "opensips_reply_timeout": Variable("count", _PROXY, 1),
    "opensips_ring_timeout": Variable("count", _PROXY, 1),
    "opensips_rescue_ringing": Variable("flag", _PROXY),
    "opensips_rescue_port": Variable("count", _PROXY, *PORT),
    "opensips_media_relaying": Variable("text", _PROXY, choices=("auto", "always", "never")),
    "opensips_media_timeout": Variable("number", _PROXY, 500, 10000),
    "opensips_extra_modules": Variable("text", _PROXY),
    "opensips_extra_routes": Variable("text", _PROXY),
    "opensips_hooks": Variable("mapping", _PROXY),
    "opensips_repository_suite": Variable("text", _PROXY),
    "opensips_repository_components": Variable("list", _PROXY),
    "db_router_port": Variable("count", _PROXY, *PORT),
    "db_router_database_port": Variable("count", _PROXY, *PORT),
    "db_router_health_port": Variable("count", _PROXY, *PORT),
    "db_router_peers_port": Variable("count", _PROXY, *PORT),
    "db_router_maxconn": Variable("count", _PROXY, 10, 8000),
    "db_router_idle_timeout": Variable("number", _PROXY, 10800, 604800),
    "db_router_check_interval": Variable("number", _PROXY, 100, 10000),
    "db_router_check_fast_interval": Variable("number", _PROXY, 50, 10000),
    "db_router_check_timeout": Variable("number", _PROXY, 50, 10000),
    "db_router_check_fall": Variable("count", _PROXY, 1, 10),
    "sip_schema_database": Variable("text", _DATABASE),
    "galera_buffer_pool_size": Variable("size", _DATABASE),
    "galera_gcache_size": Variable("size", _DATABASE),
    "galera_max_connections": Variable("count", _DATABASE, 50, 10000),
    "galera_tls_port": Variable("count", _DATABASE, *PORT),
    "galera_least_free": Variable("count", _DATABASE, 0, 1000000),
    "galera_health_port": Variable("count", _DATABASE, *PORT),
    "galera_tls_max_connections": Variable("count", _DATABASE, 1),
    "galera_tls_session_timeout": Variable("number", _DATABASE, 3, 48),
    "galera_evs_suspect_timeout": Variable("number", (*_DATABASE, "arbitrators"), 0.5, 30),
    "galera_evs_inactive_timeout": Variable("number", (*_DATABASE, "arbitrators"), 0, 60),
    "galera_evs_keepalive_period": Variable("number", (*_DATABASE, "arbitrators"), 0),
    "galera_evs_inactive_check_period": Variable("number", (*_DATABASE, "arbitrators"), 0),
    "galera_extra_settings": Variable("mapping", _DATABASE),
    "mediaproxy_control_port": Variable("count", (*_PROXY, *_RELAY), *PORT),
    "mediaproxy_management_port": Variable("count", (*_PROXY, *_RELAY), *PORT),
    "mediaproxy_repository_suite": Variable("text", _PROXY),
    "media_dispatcher_relay_timeout": Variable("count", _PROXY, 1, 10),
    "media_relay_port_range": Variable("text", _RELAY),
    "media_relay_stream_timeout": Variable("count", _RELAY, 10, 3600),
    "rtpengine_control_port": Variable("count", (*_PROXY, *_RELAY), *PORT),
    "rtpengine_port_min": Variable("count", _RELAY),
    "rtpengine_port_max": Variable("count", _RELAY),
    "rtpengine_offer_timeout": Variable("count", _RELAY, 60, 3600),
}
# Cluster-wide ones that only rules read.
CLUSTER: dict[str, Variable] = {
    "sipha_planned_calls": Variable("count", (), 0),
    "sipha_nat_timeout": Variable("number", (), 1),
}


def _number(value: Any, whole: bool) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not (whole and number != int(number)) else None


def parse(value: Any, variable: Variable) -> Any:
    """The value as its kind wants it, or None: numbers may be text (`-e` makes them so), and flags too."""
    if variable.kind in ("number", "count"):
        return _number(value, variable.kind == "count")
    if variable.kind == "size":
        match = re.fullmatch(r"([0-9]{1,9})([MG])", str(value))
        return int(match[1]) * (1024 if match[2] == "G" else 1) if match else None
    if variable.kind == "flag":
        if isinstance(value, bool):
            return value
        return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}.get(
            str(value).lower()
        )
    if variable.kind == "list":
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if variable.kind == "mapping":
        return dict(value) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def wrong_range(number: Any, variable: Variable) -> str:
    """In words, when a number is outside the range; else empty."""
    if variable.kind not in ("number", "count") or variable.low <= number <= variable.high:
        return ""
    low, high = f"{variable.low:g}", f"{variable.high:g}"
    if variable.high == math.inf:
        return f"{low} or more"
    return f"{low} to {high}"
