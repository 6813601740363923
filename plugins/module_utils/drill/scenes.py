"""Which drill breaks what on which host: the steps of a drill for a cluster as it is now. Pure.

`model` is the topology model as roles have it (sipha_topology); `now` says who holds the VIP, who is written to, which relay carries calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .budget import DRILLS, drill

POWER = ("off", "on", "pause", "resume", "reboot")
RELAY_UNITS = {"mediaproxy": "mediaproxy-relay", "rtpengine": "rtpengine-daemon"}
FLAPS = 10
EVERYBODY = ["0.0.0.0/0", "::/0"]


class SceneError(ValueError):
    """This drill can't be done on this cluster; the text says why, and what to set."""


@dataclass(frozen=True)
class Now:
    """Who does what at this moment. `power` are the actions that drill_power can do."""

    holder: str
    writer: str
    relay: str = ""
    power: Sequence[str] = ()
    core_delay: float = 0.2


@dataclass(frozen=True)
class Step:
    """`how` is fault (module fault with `settings`), power (with `action`: off, pause, reboot), or playbook (`playbook`)."""

    how: str
    host: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    action: str = ""
    playbook: str = ""


@dataclass(frozen=True)
class Scene:
    """What a drill does, and `afterwards` a playbook that recovers what nothing else can."""

    steps: tuple[Step, ...]
    afterwards: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Model = Mapping[str, Any]


def _fault(host: str, kind: str, **settings: Any) -> Step:
    return Step("fault", host, {"kind": kind, **settings})


def _power(now: Now, host: str, action: str) -> Step:
    needs = {"off": ("off", "on"), "pause": ("pause", "resume"), "reboot": ()}[action]
    if missing := [one for one in needs if one not in now.power]:
        raise SceneError(f"drill_power has no command {missing[0]}: set how {host} is powered {action} and on again from the controller")
    return Step("power", host, action=action)


def _address(model: Model, host: str, network: str) -> str:
    return str(model["hosts"][host][f"{network}_address"])


def _links(model: Model, host: str, *networks: str, kind: str = "link_down", **more: Any) -> Step:
    vips = [str(vip["address"]).partition("/")[0] for vip in model["vips"]]
    skip = [vip for vip in vips if ":" in vip]
    settings = {"addresses": [_address(model, host, network) for network in networks], **more}
    return _fault(host, kind, **settings, **({"skip_addresses": skip} if skip else {}))


def _databases(model: Model, now: Now, count: int) -> list[str]:
    """The writer and others, so many."""
    return [now.writer, *(name for name in sorted(model["databases"]) if name != now.writer)][:count]


def _killed(hosts: Sequence[str]) -> tuple[Step, ...]:
    return tuple(_fault(host, "process_killed", units=["mariadb"], keep_down=True) for host in hosts)


def _relay(model: Model, now: Now) -> tuple[str, str]:
    if not now.relay or model["media_relay"] not in RELAY_UNITS:
        raise SceneError("no media relay carries calls here (sipha_media_relay), so none can be broken")
    return now.relay, RELAY_UNITS[model["media_relay"]]


def _two_lost(model: Model, now: Now) -> Scene:
    if len(model["databases"]) < 3:
        raise SceneError(f"this cluster has {len(model['databases'])} databases; two of three can't be lost")
    return Scene(_killed(_databases(model, now, 2)))


def _dispatcher(model: Model, now: Now) -> Scene:
    if model["media_relay"] != "mediaproxy":
        raise SceneError("there is no dispatcher: sipha_media_relay is not mediaproxy")
    return Scene((_fault(now.holder, "process_killed", units=["mediaproxy-dispatcher"]),))


def _degraded(model: Model, now: Now) -> Scene:
    steps = []
    for host in model["proxies"]:
        own = [_address(model, host, "core")]
        steps.append(_fault(host, "packet_loss", addresses=own, loss=20))
        if now.core_delay:
            steps.append(_fault(host, "netem", addresses=own, delay=now.core_delay, loss=0))
    return Scene(tuple(steps), note="" if now.core_delay else "packets are lost, but not delayed: drill_core_delay is 0")


def _relay_scene(make: Callable[[str, str], Step]) -> Callable[[Model, Now], Scene]:
    return lambda model, now: Scene((make(*_relay(model, now)),))


def _holder(kind: str, *units: str, **more: Any) -> Callable[[Model, Now], Scene]:
    return lambda _, now: Scene((_fault(now.holder, kind, **({"units": list(units)} if units else {}), **more),))


def _writer(kind: str, **more: Any) -> Callable[[Model, Now], Scene]:
    return lambda _, now: Scene((_fault(now.writer, kind, **more),))


SCENES: dict[str, Callable[[Model, Now], Scene]] = {
    "switchover": lambda _, now: Scene((Step("playbook", now.holder, playbook="switchover.yml"),)),
    "proxy_killed": _holder("process_killed", "opensips"),
    "proxy_frozen": _holder("unit_frozen", "opensips"),
    "host_killed": lambda _, now: Scene((_power(now, now.holder, "off"),)),
    "host_paused": lambda _, now: Scene((_power(now, now.holder, "pause"),)),
    "host_rebooted": lambda _, now: Scene((_power(now, now.holder, "reboot"),)),
    "keepalived_killed": _holder("process_killed", "keepalived"),
    "public_link_down": lambda model, now: Scene((_links(model, now.holder, "public"),)),
    "core_link_down": lambda model, now: Scene((_links(model, now.holder, "core"),)),
    "both_links_down": lambda model, now: Scene((_links(model, now.holder, "public", "core"),)),
    "vrrp_lost": lambda model, _: Scene(tuple(_fault(host, "partition", protocols=["vrrp"]) for host in model["proxies"])),
    "gateway_gone": _holder("gateway_gone"),
    "writer_killed": _writer("process_killed", units=["mariadb"], keep_down=True),
    "writer_paused": _writer("unit_frozen", units=["mariadb"]),
    "writer_partitioned": _writer("partition", peers=EVERYBODY),
    "two_databases_lost": _two_lost,
    "all_databases_lost": lambda model, now: Scene(_killed(_databases(model, now, len(model["databases"]))), afterwards="recover.yml"),
    "database_disk_full": _writer("disk_full", directory="/var/lib/mysql"),
    "haproxy_killed": _holder("process_killed", "haproxy"),
    "relay_killed": _relay_scene(lambda host, unit: _fault(host, "process_killed", units=[unit])),
    "relay_frozen": _relay_scene(lambda host, unit: _fault(host, "unit_frozen", units=[unit])),
    "relay_cut_off": _relay_scene(lambda host, _: _fault(host, "partition", peers=EVERYBODY)),
    "dispatcher_killed": _dispatcher,
    "clock_stepped": _holder("clock_stepped", step=3600),
    "core_degraded": _degraded,
    "dns_gone": lambda model, _: Scene(tuple(_fault(host, "dns_gone") for host in model["proxies"])),
    "link_flapping": lambda model, now: Scene(
        (_links(model, now.holder, "public", kind="link_flapping", times=FLAPS, period=DRILLS["link_flapping"].seconds),)
    ),
    "proxy_and_database": lambda _, now: Scene((_power(now, now.holder, "off"), *_killed([now.writer]))),
}


def scene(name: str, model: Model, now: Now) -> Scene:
    """The steps of a drill. BudgetError for one that does not exist, SceneError for one that can't be done here."""
    seconds = drill(name).seconds
    made = SCENES[name](model, now)
    steps = tuple(
        Step("fault", step.host, {"name": f"drill_{number}", "seconds": seconds, **step.settings}) if step.how == "fault" else step
        for number, step in enumerate(made.steps)
    )
    return Scene(steps, made.afterwards, made.note)
