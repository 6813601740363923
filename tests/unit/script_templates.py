"""The script as role opensips renders it, for any version, relay and kind of registrar, by Ansible's own templating."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from topology_inventories import base, model

ROLE = Path(__file__).resolve().parents[2] / "roles/opensips"
TEMPLATE = "{% include 'opensips.cfg.j2' %}"


def render(version: str = "3.6", media: str = "mediaproxy", registrar: str = "sql_only", host: str = "sip1", **changes: Any) -> str:
    return _render(version, media, registrar, host, tuple(sorted(changes.items())))


def render_for(inventory: dict[str, Any], host: str) -> str:
    """The script of a host of another inventory than the base."""
    return _rendered(DataLoader(), inventory, host, {})


@cache
def _render(version: str, media: str, registrar: str, host: str, changes: tuple[tuple[str, Any], ...]) -> str:
    inventory = base()
    inventory["all"].update(sipha_opensips_version=version, sipha_media_relay=media, sipha_registrar_mode=registrar)
    return _rendered(DataLoader(), inventory, host, dict(changes))


def _rendered(loader: DataLoader, inventory: dict[str, Any], host: str, changes: dict[str, Any]) -> str:
    variables: dict[str, Any] = {
        **loader.load_from_file(str(ROLE / "defaults/main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True),
        **{name: value for name, value in inventory["all"].items() if name.startswith("sipha_secret_")},
        "inventory_hostname": host,
        "sipha_topology": model(inventory).as_dict(),
        **changes,
    }
    templar = Templar(loader=loader, variables=variables).copy_with_new_env(
        searchpath=[str(ROLE / "templates")], available_variables=variables
    )
    return str(templar.template(trust_as_template(TEMPLATE), escape_backslashes=False))
