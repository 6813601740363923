"""What module_utils/sip_data.py makes of the lists that users write."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.sip_data import (
    KINDS,
    DataError,
    Entry,
    changes,
    diff,
    digest,
    entries,
)

KIND = {kind.option: kind for kind in KINDS}


def rows(option: str, *listed: dict[str, Any]) -> list[Entry]:
    return entries(KIND[option], listed, "sip.example.org")


def stored(entry: Entry, number: int = 1) -> dict[str, Any]:
    return {"id": number, **entry.row}


def test_a_password_becomes_both_hashes_and_is_not_stored() -> None:
    import hashlib

    row = rows("subscribers", {"username": "alice", "password": "s3cret"})[0].row
    assert row["ha1"] == hashlib.md5(b"alice:sip.example.org:s3cret").hexdigest()  # noqa: S324
    assert row["ha1_sha256"] == hashlib.sha256(b"alice:sip.example.org:s3cret").hexdigest()
    assert row["password"] == ""
    assert row["ha1_sha512t256"] == ""
    assert "s3cret" not in str(row)


def test_a_ready_hash_is_taken_and_an_old_sha256_goes() -> None:
    row = rows("subscribers", {"username": "alice", "ha1": "A" * 32})[0].row
    assert (row["ha1"], row["ha1_sha256"]) == ("a" * 32, "")


def test_defaults_of_the_lists() -> None:
    assert rows("trusted_addresses", {"address": "198.18.10.50/32"})[0].row == {
        "grp": 1, "ip": "198.18.10.50", "mask": 32, "port": 0, "proto": "any", "pattern": None, "context_info": None,
    }  # fmt: skip
    assert rows("gateways", {"address": "sip:198.18.10.50:5060"})[0].row == {
        "setid": 1, "destination": "sip:198.18.10.50:5060", "weight": "1", "priority": 0, "description": "",
    }  # fmt: skip
    assert rows("domains", {"domain": "SIP.Example.org"})[0].row == {"domain": "sip.example.org"}
    assert rows("groups", {"username": "alice", "group": "abroad"})[0].row["domain"] == "sip.example.org"
    assert rows("trusted_addresses", {"address": "2001:db8::/64"})[0].row["mask"] == 64


@pytest.mark.parametrize(
    ("option", "entry", "message"),
    [
        ("subscribers", {"password": "x"}, "subscribers[1]: 'username' is missing."),
        ("subscribers", {"username": "a b", "password": "x"}, "'username' is not the user part"),
        ("subscribers", {"username": "bob"}, "subscribers[1]: 'password' or 'ha1' is missing."),
        ("subscribers", {"username": "bob", "password": "x", "ha1": "a" * 32}, "are both there"),
        ("subscribers", {"username": "bob", "ha1": "xyz"}, "'ha1' is not a hash of 32 hexadecimal digits."),
        ("subscribers", {"username": "bob", "password": "x", "domain": "a b"}, "'domain' is not a domain name: 'a b'"),
        ("subscribers", {"username": "bob", "password": "x", "state": "gone"}, "'state' is 'gone'"),
        ("subscribers", {"username": "OK", "password": "x"}, "is listed twice, first as subscribers[0]"),
        ("trusted_addresses", {}, "trusted_addresses[1]: 'address' is missing."),
        ("trusted_addresses", {"address": "198.18.10.50/24"}, "198.18.10.50/24 has host bits"),
        ("trusted_addresses", {"address": "198.18.10.50", "port": 70000}, "'port' is 70000, it must be 0 to 65535."),
        ("trusted_addresses", {"address": "198.18.10.50", "group": "one"}, "'group' is not a whole number: 'one'."),
        ("trusted_addresses", {"address": "198.18.10.50", "protocol": "icmp"}, "'protocol' is 'icmp'"),
        ("trusted_addresses", {"address": "198.18.10.50", "tag": "x" * 33}, "33 characters, 32 is the limit."),
        ("domains", {"state": "absent"}, "domains[1]: 'domain' is missing."),
        ("groups", {"username": "bob"}, "groups[1]: 'group' is missing."),
        ("gateways", {"address": "198.18.10.50"}, "'address' is not a SIP URI"),
        ("gateways", {"address": "sip:a", "weight": -1}, "'weight' is -1"),
    ],
)  # fmt: skip
def test_bad_entries_are_named(option: str, entry: dict[str, Any], message: str) -> None:
    good: dict[str, dict[str, Any]] = {
        "subscribers": {"username": "ok", "password": "x"},
        "trusted_addresses": {"address": "198.18.10.51"},
        "domains": {"domain": "example.org"},
        "groups": {"username": "ok", "group": "g"},
        "gateways": {"address": "sip:198.18.10.51"},
    }
    with pytest.raises(DataError) as error:
        rows(option, good[option], entry)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{option}[1]: ")


def test_an_error_never_shows_a_secret() -> None:
    with pytest.raises(DataError) as error:
        rows("subscribers", {"username": "bob", "password": "topsecret", "ha1": "nothash"})
    assert "topsecret" not in str(error.value)
    assert "nothash" not in str(error.value)


def test_a_domain_is_needed_from_somewhere() -> None:
    with pytest.raises(DataError, match="sipha_domain is not set"):
        entries(KIND["subscribers"], [{"username": "bob", "password": "x"}], "")


def test_the_same_rows_change_nothing() -> None:
    for option, entry in (
        ("subscribers", {"username": "alice", "password": "s3cret"}),
        ("trusted_addresses", {"address": "198.18.10.50", "tag": "carrier"}),
        ("gateways", {"address": "sip:198.18.10.50", "weight": "50"}),
        ("domains", {"domain": "example.org"}),
    ):
        wanted = rows(option, entry)
        assert not changes(KIND[option], wanted, [stored(wanted[0])], purge=True)


def test_null_and_empty_are_the_same() -> None:
    wanted = rows("gateways", {"address": "sip:198.18.10.50"})
    assert not changes(KIND["gateways"], wanted, [{**stored(wanted[0]), "description": None}], purge=False)


def test_insert_update_delete_and_rows_that_are_not_ours() -> None:
    kind = KIND["gateways"]
    wanted = rows(
        "gateways",
        {"address": "sip:new"},
        {"address": "sip:heavier", "weight": 9},
        {"address": "sip:old", "state": "absent"},
        {"address": "sip:never", "state": "absent"},
    )
    old = rows("gateways", {"address": "sip:heavier"}, {"address": "sip:old"}, {"address": "sip:byhand"})
    existing = [stored(entry, number) for number, entry in enumerate(old)]
    found = changes(kind, wanted, existing, purge=False)
    assert [row["destination"] for row in found.insert] == ["sip:new"]
    assert [(before["weight"], after["weight"]) for before, after in found.update] == [("1", "9")]
    assert [row["destination"] for row in found.delete] == ["sip:old"]
    purged = changes(kind, wanted, existing, purge=True)
    assert sorted(row["destination"] for row in purged.delete) == ["sip:byhand", "sip:old"]


def test_rows_that_are_there_twice_become_one() -> None:
    wanted = rows("trusted_addresses", {"address": "198.18.10.50"})
    found = changes(KIND["trusted_addresses"], wanted, [stored(wanted[0], 1), stored(wanted[0], 2)], purge=False)
    assert [row["id"] for row in found.delete] == [2]
    assert not found.insert
    assert not found.update


def test_names_are_compared_as_the_database_does() -> None:
    wanted = rows("subscribers", {"username": "alice", "password": "x"})
    existing = [{**stored(wanted[0]), "username": "Alice"}]
    found = changes(KIND["subscribers"], wanted, existing, purge=True)
    assert not found.insert
    assert not found.delete
    assert len(found.update) == 1


def test_the_diff_has_no_secret() -> None:
    kind = KIND["subscribers"]
    old = [stored(entry) for entry in rows("subscribers", {"username": "alice", "password": "old"})]
    wanted = rows("subscribers", {"username": "alice", "password": "new"}, {"username": "bob", "ha1": "b" * 32})
    found = diff(changes(kind, wanted, old, purge=False))
    assert found["before"] == "alice@sip.example.org\n"
    assert found["after"] == "alice@sip.example.org (credentials change)\nbob@sip.example.org\n"
    assert found["before_header"] == "table subscriber"


def test_a_digest_is_that_of_what_is_there_afterwards() -> None:
    """Before and after the write, in check mode too, and whatever the order, or what the engine writes, or NULL for nothing."""
    kind = KIND["gateways"]
    one, two, three = rows("gateways", *({"address": f"sip:198.18.10.5{n}:5060"} for n in range(3)))
    other = rows("gateways", {"address": "sip:198.18.10.50:5060", "weight": 7})[0]
    existing = [stored(one, 1), {**stored(two, 2), "description": None, "state": 2, "weight": 1}]
    changed = changes(kind, [other, three], existing, purge=True)
    assert (len(changed.insert), len(changed.update), len(changed.delete)) == (1, 1, 1)
    after = digest(kind, changed.result(existing))
    again = [stored(three, 3), stored(other, 1)]
    assert after == digest(kind, again) == digest(kind, changes(kind, [other, three], again, purge=True).result(again))
    assert after != digest(kind, existing)
    assert digest(kind, existing) == digest(kind, [stored(two, 5), stored(one, 4)])
    assert digest(kind, []) != digest(kind, [stored(one)])
