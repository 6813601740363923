"""sipha-health: can this proxy serve? Asked once, for people, playbooks and upgrades. Exit 0 = yes."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable

from . import media, mi, probes, sip
from .agent import Settings


def check_sip(settings: Settings) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((settings.core_address, 0))
        client.settimeout(1.0)
        call_id = f"health-{time.time_ns()}@{settings.core_address}"
        port = client.getsockname()[1]
        target = (settings.core_address, settings.sip_port)
        try:
            client.sendto(sip.options(*target, settings.core_address, port, call_id), target)
            reply = sip.parse_reply(client.recv(65535))
        except OSError as error:
            return f"OPTIONS to {target[0]}:{target[1]} is not answered ({error})"
    if not reply or reply[0] != 200:
        return f"OPTIONS to {target[0]}:{target[1]} is answered {reply[0] if reply else 'with something that is not SIP'}"
    return ""


def check_mi(settings: Settings) -> str:
    try:
        mi.call(settings.mi_socket, "uptime", None, 1.0, settings.run_dir)
    except mi.MiError as error:
        return f"management interface: {error}"
    return ""


def check_db(settings: Settings) -> str:
    if probes.database_greets("127.0.0.1", settings.db_port, 2.0):
        return ""
    return f"no database greets at 127.0.0.1:{settings.db_port}"


def check_tag(settings: Settings) -> str:
    """The tag of each VIP is active here exactly when the VIP is here."""
    try:
        shtags = mi.call(settings.mi_socket, "clusterer_list_shtags", None, 1.0, settings.run_dir)
        for tag, vip in settings.vips.items():
            holds = probes.carries(settings.public_interface, vip)
            state = mi.tag_state(shtags, tag, settings.cluster)
            if state != ("active" if holds else "backup"):
                return f"{'holds' if holds else 'does not hold'} the VIP {vip}, but the sharing tag {tag} is {state}"
    except mi.MiError as error:
        return f"management interface: {error}"
    return ""


def check_air(settings: Settings) -> str:
    """Is nothing in the air: no call that rings, no transaction that waits? Asked before a planned restart, of a proxy without VIP."""
    try:
        counts = mi.call(
            settings.mi_socket, "get_statistics", {"statistics": ["early_dialogs", "inuse_transactions"]}, 1.0, settings.run_dir
        )
    except mi.MiError as error:
        return f"management interface: {error}"
    busy = {name.split(":")[-1]: int(count) for name, count in counts.items() if int(count)}
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(busy.items()))


def check_peers(settings: Settings) -> str:
    """Is every other proxy in sight? Not a question of being able to serve, so it is asked only when named."""
    try:
        states = mi.links(mi.call(settings.mi_socket, "clusterer_list", None, 1.0, settings.run_dir), settings.cluster)
    except mi.MiError as error:
        return f"management interface: {error}"
    bad = {node: state for node, state in states.items() if state != "Up"}
    return f"no replication with node {', '.join(f'{n} ({s})' for n, s in sorted(bad.items()))}" if bad else ""


def check_media(settings: Settings) -> str:
    """A relay for this proxy's calls; all is well where the cluster has none by choice."""
    if settings.media_kind == "none":
        return ""
    watch = media.Watch(settings.media_kind, settings.core_address, settings.media_port, settings.media_relays, settings.media_identity)
    try:
        return watch.look()
    finally:
        watch.close()


CHECKS: dict[str, Callable[[Settings], str]] = {
    "sip": check_sip,
    "mi": check_mi,
    "db": check_db,
    "tag": check_tag,
    "media": check_media,
    "peers": check_peers,
    "air": check_air,
}
CAN_SERVE = "sip,mi,db,tag,media"


def main() -> None:
    parser = argparse.ArgumentParser(prog="sipha-health", description=__doc__)
    parser.add_argument("--config", default="/etc/sipha/agent.json")
    parser.add_argument("--only", default=CAN_SERVE, help="checks to run, of: " + ", ".join(CHECKS))
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="look again until all is well, for so long at most")
    arguments = parser.parse_args()
    settings = Settings.load(arguments.config)
    names = arguments.only.split(",")
    for name in names:
        if name not in CHECKS:
            parser.error(f"unknown check {name!r}")
    end = time.monotonic() + arguments.wait
    while True:
        problems = {name: CHECKS[name](settings) for name in names}
        if not any(problems.values()) or time.monotonic() >= end:
            break
        time.sleep(0.5)
    for name, problem in problems.items():
        print(f"{name}: {problem or 'ok'}")
    sys.exit(1 if any(problems.values()) else 0)


if __name__ == "__main__":
    main()
