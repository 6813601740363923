"""What clients notice of what happens to a service, as plans say it: data."""

from __future__ import annotations

# (service, what happens to it) -> what clients notice. See docs/failover.md, docs/media.md, and README's measurements.
MOVE_PLANNED = (
    "0.02 s without an answer (measured); calls go on, also those that ring in that moment; TCP clients connect again and stay registered"
)
EFFECTS: dict[tuple[str, str], str] = {
    ("opensips", "restart"): "nothing: this proxy has no VIP then, and waits for calls that still ring on it (opensips_ring_timeout)",
    ("opensips", "reload"): "nothing: only routes differ, and it reads them anew while it runs; its VIPs stay",
    ("opensips", "start"): "nothing: nobody is served by it yet",
    ("opensips", "data"): "nothing: it reads the tables anew while it runs",
    ("mediaproxy-dispatcher", "restart"): "nothing: this proxy has no VIP then; relay statistics of its calls that are up are not told",
    ("mediaproxy-dispatcher", "stop"): "nothing: no new call asks it, calls that are up keep their audio",
    ("mediaproxy-relay", "restart"): "nothing: new calls use the other relays, and it restarts when its last call has ended",
    ("rtpengine-daemon", "restart"): "nothing: new calls use the other relays, and it restarts when its last call has ended",
    ("mediaproxy-relay", "stop"): "nothing: new calls use the relays that are chosen now",
    ("rtpengine-daemon", "stop"): "nothing: it is stopped when its last call has ended",
    ("mariadb", "restart"): "nothing, or where it is the writer: requests in that moment may get 503 until the next database is used",
    ("mariadb", "start"): "nothing: it joins the others; where none runs, service comes back",
    ("mariadb", "stop"): "nothing: it waits for a cluster that nobody has started",
    ("sipha-garbd", "restart"): "nothing: the databases have most votes without it",
    ("haproxy", "reload"): "nothing: open sessions stay with the old process",
    ("haproxy", "restart"): "sessions through it end and are opened again",
    ("keepalived", "reload"): "nothing: a reload moves no VIP",
    ("keepalived", "start"): "nothing, or where nobody holds the VIP: it comes up",
    ("keepalived", "restart"): MOVE_PLANNED + ", where this proxy holds the VIP",
    ("sipha-loopback", "restart"): "nothing: a VIP that is in use is on the public interface",
    ("sipha-loopback", "start"): "nothing: a VIP that is in use is on the public interface",
    ("sipha-agent", "restart"): "nothing: its verdicts stay, no VIP moves",
    ("sipha-firewall", "restart"): "nothing: the rules are replaced at once, known connections stay",
    ("sipha-db-router", "restart"): "nothing: HAProxy goes on without it",
    ("sipha-galera-health", "restart"): "nothing: proxies ask again before they give a database up",
    ("chrony", "restart"): "nothing",
    ("ntpsec", "restart"): "nothing",
}
UNKNOWN = "not known"
