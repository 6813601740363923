"""OpenSIPS management interface: JSON-RPC over its UNIX datagram socket (module mi_datagram)."""

from __future__ import annotations

import json
import os
import secrets
import socket
from typing import Any


class MiError(Exception):
    """The engine refused a command, or did not answer."""


def call(
    socket_path: str,
    command: str,
    params: dict[str, Any] | list[Any] | None = None,
    timeout: float = 2.0,
    directory: str | None = None,
) -> Any:
    """Run one command. `directory` is where the reply socket is made (default: beside the engine's); the engine must reach it."""
    request: dict[str, Any] = {"jsonrpc": "2.0", "id": secrets.token_hex(4), "method": command}
    if params:
        request["params"] = params
    # not /tmp: the engine may have a private one and could not answer
    own = os.path.join(directory or os.path.dirname(socket_path), f"mi-{os.getpid()}-{secrets.token_hex(4)}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        try:
            client.bind(own)
            os.chmod(own, 0o666)  # noqa: S103 (the engine answers as another user; the socket lives for one call)
            client.sendto(json.dumps(request).encode(), socket_path)
            answer = client.recv(1 << 20)
        except OSError as error:
            raise MiError(f"{command}: no answer from {socket_path} ({error})") from error
        finally:
            if os.path.exists(own):
                os.unlink(own)
    try:
        reply = json.loads(answer)
    except ValueError as error:
        raise MiError(f"{command}: answer is not JSON: {answer[:200]!r}") from error
    if "error" in reply:
        raise MiError(f"{command}: {reply['error'].get('message', reply['error'])}")
    return reply.get("result")


def tag_state(shtags: Any, tag: str, cluster: int) -> str:
    """State of a sharing tag ("active" or "backup") in what clusterer_list_shtags returns."""
    for entry in shtags if isinstance(shtags, list) else []:
        if entry.get("Tag") == tag and int(entry.get("Cluster", -1)) == cluster:
            return str(entry.get("State", "")).lower()
    raise MiError(f"sharing tag {tag}/{cluster} is not declared in the engine's script")


def links(clusters: Any, cluster: int) -> dict[int, str]:
    """Peer to the state of the link to it ("Up", "Probe", "Down") in what clusterer_list returns."""
    for entry in clusters.get("Clusters", []) if isinstance(clusters, dict) else []:
        if int(entry.get("cluster_id", -1)) == cluster:
            return {int(node["node_id"]): str(node["link_state"]) for node in entry.get("Nodes", [])}
    return {}
