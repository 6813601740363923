"""sipha-agent: watches the proxy it runs on, for keepalived, and keeps the engine's sharing tag where the VIP is.

Each check writes 0 (good) or 1 (bad) into a file that keepalived tracks; keepalived turns them into VRRP priority.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import hand_over, media, mi, probes, sip
from .judge import Judge, Outstanding

MEDIA_INTERVAL = 0.5  # seconds between two looks whether the dispatcher is there; what it knows is asked every `media_interval`
REPEAT = 15.0  # seconds in which a tag is said again after the last trouble of a replication link
STRAY_PATIENCE = 1.0
AWAY = 2  # pings that another proxy has left without an answer: it is back with the next one that it answers
STOPPING = "stopping"  # in run_dir while the engine is about to end in good order


@dataclass
class Settings:
    """Rendered by role proxy_agent into /etc/sipha/agent.json."""

    core_address: str
    sip_port: int
    public_interface: str
    vips: dict[str, str]  # sharing tag -> address
    gateway: str
    core_peers: list[str]
    mi_socket: str
    cluster: int = 1
    db_port: int = 3306
    run_dir: str = "/run/sipha"
    maintenance_file: str = "/etc/sipha/maintenance"
    proxies: list[str] = field(default_factory=list)  # core addresses of the others
    bin_port: int = 5566
    public_address: str = ""
    router_ids: dict[str, int] = field(default_factory=dict)  # sharing tag -> VRRP's
    vrrp_peers: list[str] = field(default_factory=list)  # public addresses of the others
    vrrp_interval: float = 0.15
    link_patience: float = 5.0
    catch_up_after: float = 15.0
    sip_interval: float = 0.05
    sip_timeout: float = 0.35
    sip_fall: int = 3
    sip_rise: int = 20
    database_interval: float = 0.5
    database_fall: int = 4
    database_rise: int = 4
    network_interval: float = 0.25
    network_fall: int = 4
    network_rise: int = 8
    media_kind: str = "none"  # mediaproxy: ask the own dispatcher; rtpengine: ask the relays
    media_port: int = 25061
    media_relays: list[str] = field(default_factory=list)
    media_identity: dict[str, str] = field(default_factory=dict)
    media_interval: float = 3.0
    media_fall: int = 2
    media_rise: int = 2

    @classmethod
    def load(cls, path: str) -> Settings:
        data: dict[str, Any] = json.loads(Path(path).read_text())
        return cls(**data)


def log(message: str) -> None:
    print(message, flush=True)


def notify(state: str) -> None:
    """Tell systemd (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Track:
    """One tracked file: its verdict survives a restart of the agent, not one of the host."""

    def __init__(self, settings: Settings, name: str, fall: int, rise: int) -> None:
        self.name, self.path = name, Path(settings.run_dir) / "track" / name
        self.fell = threading.Event()
        self.judge = Judge(fall, rise, up=self._read() == "0")
        self._write()

    def _read(self) -> str:
        return self.path.read_text().strip() if self.path.exists() else ""

    def _write(self) -> None:
        # keepalived watches the file by inotify and wants it rewritten in place
        self.path.write_text("0\n" if self.judge.up else "1\n")

    def add(self, good: bool) -> None:
        if self.judge.add(good):
            self._write()
            log(f"{self.name} is {'up' if self.judge.up else 'DOWN'}")
            if not self.judge.up:
                self.fell.set()


@dataclass
class Agent:
    settings: Settings
    running: bool = True
    sequence: int = 0
    gateway_seen: bool = False
    tag_trouble: dict[str, str] = field(default_factory=dict)
    stuck_since: float = 0.0
    linked: set[int] = field(default_factory=set)
    repeat_until: float = 0.0
    all_linked: bool = False
    stray_since: dict[str, float] = field(default_factory=dict)
    lost_since: dict[int, float] = field(default_factory=dict)
    linked_since: dict[int, float] = field(default_factory=dict)
    told_here: dict[str, bool] = field(default_factory=dict)
    reached: dict[str, Judge] = field(default_factory=dict)
    back: list[str] = field(default_factory=list)
    vip_changed: threading.Event = field(default_factory=threading.Event)
    tracks: dict[str, Track] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s = self.settings
        (Path(s.run_dir) / "track").mkdir(parents=True, exist_ok=True)
        self.tracks["db"] = Track(s, "db", s.database_fall, s.database_rise)
        for name in ("gateway", "core"):
            self.tracks[name] = Track(s, name, s.network_fall, s.network_rise)
        self.tracks["sip"] = Track(s, "sip", s.sip_fall, s.sip_rise)
        if s.media_kind != "none":
            self.tracks["media"] = Track(s, "media", s.media_fall, s.media_rise)
        self.tracks["maintenance"] = Track(s, "maintenance", 1, 1)
        self.open_sip()
        self.icmp_socket = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        self.events = probes.address_events()

    def open_sip(self) -> None:
        s = self.settings
        self.sip_air = Outstanding(s.sip_timeout)
        self.sip_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sip_socket.bind((s.core_address, 0))
        self.sip_socket.connect((s.core_address, s.sip_port))  # only so a refusal (nobody listens) is heard

    # SIP: many small probes, so that a dead or frozen engine is known within sip_fall * sip_interval + sip_timeout
    def send_sip(self, now: float) -> None:
        s = self.settings
        self.sequence = (self.sequence + 1) % 65536
        key = f"{self.sequence}-{os.getpid()}@{s.core_address}"
        port = self.sip_socket.getsockname()[1]
        self.sip_air.sent(key, now)
        try:
            self.sip_socket.send(sip.options(s.core_address, s.sip_port, s.core_address, port, key))
        except OSError:
            self.sip_air.answered(key)
            self.tracks["sip"].add(False)

    def receive_sip(self) -> None:
        while True:
            try:
                reply = sip.parse_reply(self.sip_socket.recv(65535))
            except BlockingIOError:
                return
            except ConnectionRefusedError:  # nobody listens: no need to wait for the time-out
                for _ in range(self.sip_air.clear()):
                    self.tracks["sip"].add(False)
                continue
            if reply and self.sip_air.answered(reply[1]):
                self.tracks["sip"].add(reply[0] < 500)

    # Gateway and core network: somebody there answers
    def send_icmp(self) -> None:
        s = self.settings
        for target in filter(None, (s.gateway, *s.core_peers)):
            try:
                self.icmp_socket.sendto(probes.echo_request(os.getpid() & 0xFFFF, self.sequence), (target, 0))
            except OSError:
                continue

    def receive_icmp(self, answered: set[str]) -> None:
        targets = [self.settings.gateway, *self.settings.core_peers]
        while True:
            try:
                packet, (source, _) = self.icmp_socket.recvfrom(2048)
            except BlockingIOError:
                return
            reply = probes.echo_reply(packet)
            if reply and reply[0] == os.getpid() & 0xFFFF and source in targets:
                answered.add(source)

    def judge_networks(self, answered: set[str]) -> None:
        s = self.settings
        if s.gateway in answered:
            self.gateway_seen = True
        # A gateway that never answers pings says nothing; one that stopped answering does.
        self.tracks["gateway"].add(not s.gateway or s.gateway in answered or not self.gateway_seen)
        self.tracks["core"].add(not s.core_peers or any(peer in answered for peer in s.core_peers))
        for peer in s.proxies:
            if self.reached.setdefault(peer, Judge(AWAY, 1, up=True)).add(peer in answered) and peer in answered:
                self.back.append(peer)
                self.vip_changed.set()
        self.tracks["maintenance"].add(not Path(s.maintenance_file).exists() and not Path(s.run_dir, STOPPING).exists())

    # In threads of their own: they may wait, and the loop above must not
    def watch_database(self) -> None:
        while self.running:
            start = time.monotonic()
            self.tracks["db"].add(probes.database_greets("127.0.0.1", self.settings.db_port, 1.0))
            time.sleep(max(0.05, self.settings.database_interval - (time.monotonic() - start)))

    def watch_media(self) -> None:
        """Is there a relay that this proxy can give calls to? Asking is also how a dispatcher finds out that a relay is frozen. One that
        went away is asked again at once: when it is dead each call until the VIP has moved is refused."""
        s = self.settings
        watch = media.Watch(s.media_kind, s.core_address, s.media_port, s.media_relays, s.media_identity, s.media_interval)
        while self.running:
            start = time.monotonic()
            problem = watch.look()
            if problem and self.tracks["media"].judge.up:
                log(f"media: {problem}")
            self.tracks["media"].add(not problem)
            if self.tracks["media"].fell.is_set():
                self.tracks["media"].fell.clear()
                if watch.without_dispatcher:
                    self.resign("the media dispatcher is gone")
            if watch.without_dispatcher and self.tracks["media"].judge.up:
                watch.wait(0.05)
            else:
                watch.wait(max(0.05, MEDIA_INTERVAL - (time.monotonic() - start)))

    def claim_tag(self, tag: str, vip: str) -> None:
        """A VIP's sharing tag is active where the VIP is; right again after every restart of the engine or keepalived."""
        s = self.settings
        here = probes.carries(s.public_interface, vip)
        self.say_where(tag, here)
        if not here:
            self.tag_trouble.pop(tag, None)
            self.return_tag(tag, time.monotonic())
            return
        self.stray_since.pop(tag, None)
        try:
            active = self.has_tag(tag)
            if active and not (self.all_linked and time.monotonic() < self.repeat_until):
                return
            mi.call(s.mi_socket, "clusterer_shtag_set_active", [f"{tag}/{s.cluster}"], 0.5, s.run_dir)
            if not active:
                log(f"holds {vip}: sharing tag {tag}/{s.cluster} set active")
            self.tag_trouble.pop(tag, None)
        except mi.MiError as error:
            if str(error) != self.tag_trouble.get(tag):  # say it once, not every second
                log(f"holds {vip}, but can't set the sharing tag: {error}")
            self.tag_trouble[tag] = str(error)

    def say_where(self, tag: str, here: bool) -> None:
        """The engine's script leaves unanswered what it can't do for a VIP that is not here. (An engine that has just started takes it for
        here, so that it is told the other thing again and again.)"""
        if here and self.told_here.get(tag):
            return
        s = self.settings
        try:
            mi.call(s.mi_socket, "shv_set", {"name": f"away_{tag}", "type": "int", "value": int(not here)}, 0.5, s.run_dir)
        except mi.MiError:
            return  # it starts: what is not told now is told a moment later
        self.told_here[tag] = here

    def has_tag(self, tag: str) -> bool:
        s = self.settings
        return mi.tag_state(mi.call(s.mi_socket, "clusterer_list_shtags", None, 0.5, s.run_dir), tag, s.cluster) == "active"

    def return_tag(self, tag: str, now: float) -> None:
        """A tag without its VIP is taken away by the VIP's holder, which says that it has the tag. An engine that has said it into a
        partition, and then failed to say it again, never says it any more (clusterer: active_msgs_sent). Hearing that somebody else has
        the tag makes it forget that, and its agent claims the tag anew: so that is what it is told."""
        s = self.settings
        try:
            if not (self.linked and self.has_tag(tag)):
                self.stray_since.pop(tag, None)
            elif now - self.stray_since.setdefault(tag, now) >= STRAY_PATIENCE:
                del self.stray_since[tag]
                log(f"has the sharing tag {tag}/{s.cluster} without its VIP: asking for it to be claimed anew")
                mi.call(s.mi_socket, "clusterer_shtag_set_active", [f"{tag}/{s.cluster}"], 0.5, s.run_dir)
        except mi.MiError:
            self.stray_since.pop(tag, None)

    def watch_links(self, now: float) -> None:
        s = self.settings
        try:
            states = mi.links(mi.call(s.mi_socket, "clusterer_list", None, 0.5, s.run_dir), s.cluster)
            linked = {node for node, state in states.items() if state == "Up"}
            back = [self.back.pop() for _ in range(len(self.back))]
            if (self.drop_stalled_connections(back) and (back or "Down" not in states.values())) or linked != self.linked:
                self.repeat_tags(now)
            if linked - self.linked:
                self.vip_changed.set()  # who is new is told at once
            self.linked, self.all_linked = linked, len(linked) == len(states)
            self.free_stuck_links(states, now)
            self.catch_up(states, now)
        except mi.MiError:
            self.stuck_since = 0.0  # the engine is away; its start begins with new links, and gets all calls of its peers
            self.lost_since, self.linked_since, self.linked, self.all_linked = {}, {}, set(), False

    def repeat_tags(self, now: float) -> None:
        """The engine tells its peers once that it has a tag. Said into a partition that is over before the engine has noticed it, that is
        lost, and two proxies keep the tag for good. So it is said again after links were in trouble that the engine has not noticed, or
        have come and gone. (Not for ever: the engine keeps a few bytes of each time.)"""
        if now >= self.repeat_until and self.repeat_until:
            log("replication was in trouble: saying again which tags are here")
        self.repeat_until = now + REPEAT

    def drop_stalled_connections(self, back: list[str]) -> bool:
        """After a partition TCP tries again ever more rarely, after some minutes every other minute, and until then nothing is replicated.
        A connection that got no answer for a second and a half is dropped, so that the engine's next packet opens a new one. Whatever the
        engine says of the link: as long as it has calls to tell a peer about, it sends no pings and takes it for up. To a host that has
        come back, all that wait for an answer are dropped at once: a new one gets it."""
        dropped = probes.drop_stalled(self.settings.bin_port, self.settings.proxies, back)
        for peer in dropped:
            log(f"dropped a replication connection to {peer}: it got no answer for too long")
        return bool(dropped)

    def free_stuck_links(self, states: dict[int, str], now: float) -> None:
        """A probe of a peer lasts some seconds. When two proxies start together and an answer comes late, the engine can stay in that
        state for ever (clusterer, LS_TEMP): nothing is replicated to that peer, and it never hears who has the tag. Starting the pings
        anew, by disabling and enabling the node itself, frees it."""
        s = self.settings
        if "Probe" not in states.values():
            self.stuck_since = 0.0
        elif not self.stuck_since:
            self.stuck_since = now
        elif now - self.stuck_since >= s.link_patience:
            self.stuck_since = 0.0
            log(f"links to the peers are stuck ({states}): starting them anew")
            for status in (0, 1):
                mi.call(s.mi_socket, "clusterer_set_status", {"cluster_id": s.cluster, "status": status}, 0.5, s.run_dir)

    def catch_up(self, states: dict[int, str], now: float) -> None:
        """A peer that was out of reach may have calls that this proxy never heard of. The engine could ask for them by itself as soon as
        the peer is back (cluster_auto_sync), but forgets what the answer does not name: all calls, when the peer had just been killed and
        has nothing yet. So it is asked later, when a restarted peer has got its calls from here."""
        s = self.settings
        for node, state in states.items():
            if state != "Up":
                self.lost_since.setdefault(node, now)
                self.linked_since.pop(node, None)
            elif node in self.lost_since and now - self.linked_since.setdefault(node, now) >= s.catch_up_after:
                long = self.linked_since.pop(node) - self.lost_since.pop(node)
                for tag, vip in s.vips.items():
                    if not probes.carries(s.public_interface, vip):
                        log(f"node {node} was out of reach for {long:.0f} s: asking for the calls of {tag} again")
                        mi.call(s.mi_socket, "dlg_cluster_sync", {"sharing_tag": tag}, 0.5, s.run_dir)

    def watch_vip(self) -> None:
        while self.running:
            repeats = time.monotonic() < self.repeat_until
            self.vip_changed.wait(0.25 if repeats and not self.all_linked else 0.5 if repeats or self.stray_since else 1.0)
            self.vip_changed.clear()
            for tag, vip in self.settings.vips.items():
                self.claim_tag(tag, vip)
            self.watch_links(time.monotonic())

    def watch_engine(self) -> None:
        """When it dies the VIPs are to go at once, not when the others have missed three advertisements."""
        fell = self.tracks["sip"].fell
        while self.running:
            if fell.wait(1.0):
                fell.clear()
                self.resign("the engine is down")

    def resign(self, why: str) -> None:
        """For troubles of this host alone: of what all proxies share the peers may know as little as this one."""
        try:
            said = hand_over.resign(self.settings, lambda vip: probes.carries(self.settings.public_interface, vip))
        except (OSError, subprocess.SubprocessError) as error:  # a link is down as well; this thread must go on
            said = f"the others can't be told: {error}"
        if said:
            log(f"{why}: {said}")

    def drain_events(self) -> None:
        try:
            while self.events.recv(65535):
                self.vip_changed.set()
        except BlockingIOError:
            return

    def run(self) -> None:
        for worker in (self.watch_database, self.watch_vip, self.watch_engine, *([self.watch_media] if "media" in self.tracks else [])):
            threading.Thread(target=worker, daemon=True).start()
        s = self.settings
        beat = Path(s.run_dir) / "beat"
        poll = select.poll()
        for source in (self.sip_socket, self.icmp_socket, self.events):
            poll.register(source, select.POLLIN)
        answered: set[str] = set()
        next_sip = next_network = time.monotonic()
        notify("READY=1")
        while self.running:
            now = time.monotonic()
            poll.poll(max(0, int((min(next_sip, next_network) - now) * 1000)))
            self.receive_sip()
            self.receive_icmp(answered)
            self.drain_events()
            now = time.monotonic()
            for _ in range(self.sip_air.expired(now)):
                self.tracks["sip"].add(False)
            if now >= next_sip:
                next_sip = now + s.sip_interval
                self.send_sip(now)
            if now >= next_network:
                next_network = now + s.network_interval
                self.judge_networks(answered)
                answered.clear()
                self.send_icmp()
                beat.write_text("")
                notify("WATCHDOG=1")

    def stop(self, *_: object) -> None:
        self.running = False


def main() -> None:
    agent = Agent(Settings.load(sys.argv[1] if len(sys.argv) > 1 else "/etc/sipha/agent.json"))
    signal.signal(signal.SIGTERM, agent.stop)
    agent.run()


if __name__ == "__main__":
    main()
