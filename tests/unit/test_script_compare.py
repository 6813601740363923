"""Two scripts are compared by what they say; what people see of it has no secrets."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.filter.script import FilterModule
from ansible_collections.sipha.cluster.plugins.module_utils.script.compare import NOTHING, RELOAD, RESTART, SOCKETS, compare
from ansible_collections.sipha.cluster.plugins.module_utils.script.grammar import ScriptError
from ansible_collections.sipha.cluster.plugins.module_utils.script.redact import is_secret, redact
from hypothesis import given
from hypothesis import strategies as st
from script_base import base, changed
from script_templates import render

FILTERS = FilterModule().filters()
NONCE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("edit", "consequence", "line"),
    [
        (("log_level=3", "# why\nlog_level = 3   # so"), NOTHING, ""),
        (('"sql-only"', '"full-sharing-cluster"'), RESTART, "usrloc/working_mode_preset"),
        (("    exit;\n}", "\n\n  exit ; }"), NOTHING, ""),
        (("\nfailure_route[FAILED]", '\nfailure_route["FAILED"]'), NOTHING, ""),
        (('"Not Found"', '"Nobody There"'), RELOAD, "route changed"),
        (("", "\nroute[NEW] { exit; }\n"), RELOAD, "route[NEW] is new"),
        (("    route(RELAY);\n}", "    route(RELAY);\n    exit;\n}"), RELOAD, "route changed"),
        (("", "\ntimer_route[t, 5] { exit; }\n"), RELOAD, "timer_route[t] is new"),
        (("", "\nstartup_route { exit; }\n"), RESTART, "startup_route runs at a start only, not at a reload"),
        (('save("location"', 'save("phones"'), RESTART, "table phones is new for the registrar: a reload refuses that"),
        (("log_level=3", "log_level=4"), RESTART, "log_level was 3, is now 4"),
        (("log_level=3", ""), RESTART, "log_level is no longer set (was 3)"),
        (("log_level=3", "log_level=3\nudp_workers=8"), RESTART, "udp_workers is now 8"),
        (('"nat_bflag", "NAT"', '"nat_bflag", "NATED"'), RESTART, 'usrloc/nat_bflag was "NAT", is now "NATED"'),
        (('loadmodule "rr.so"\n', ""), RESTART, "module rr is gone"),
        (('loadmodule "rr.so"\n', 'loadmodule "rr.so"\nloadmodule "pike.so"\n'), RESTART, "module pike is new"),
        (('loadmodule "sl.so"\nloadmodule "tm.so"\n', 'loadmodule "tm.so"\nloadmodule "sl.so"\n'), RESTART, "the order of modules changed"),
        (("10.10:5060", "10.10:5062"), SOCKETS, "socket udp:198.18.10.10:5062 is new"),
        (
            ("socket=udp:198.18.10.10:5060\nsocket=bin:198.18.20.11:5566", "socket=bin:198.18.20.11:5566\nsocket=udp:198.18.10.10:5060"),
            SOCKETS,
            "the order of sockets changed",
        ),
        (("log_level=3", 'log_level=3\ninclude_file "own.cfg"'), RESTART, "other files are included"),
    ],
)
def test_consequences(edit: tuple[str, str], consequence: str, line: str) -> None:
    changes = compare(base(), changed(edit))
    assert changes.consequence == consequence
    assert any(line in text for text in changes.lines) if line else changes.lines == []
    back = compare(changed(edit), base())
    assert (back.consequence == NOTHING) is (consequence == NOTHING)


def test_other_quotes_change_nothing() -> None:
    assert compare(base(), changed(('"sql-only"', "'sql-only'"))).consequence == NOTHING


def test_a_route_that_changed_is_shown_as_lines() -> None:
    changes = compare(base(), changed(('send_reply(404, "Not Found")', 'send_reply(410, "Gone")')))
    assert changes.routes_changed == ["route"]
    assert "-    if ($var(found) == 0) { send_reply(404" in changes.diff
    assert "+    if ($var(found) == 0) { send_reply(410" in changes.diff
    assert "t_on_failure" in changes.diff
    assert "failure_route[FAILED]" not in changes.diff


def test_a_comment_above_another_route_is_no_change() -> None:
    assert compare(base(), base().replace("\nroute[RELAY]", "\n# why\nroute[RELAY]")).diff == ""


def test_included_files_are_not_compared_and_that_is_said() -> None:
    text = changed(("log_level=3", 'log_level=3\ninclude_file "own.cfg"'))
    changes = compare(text, text)
    assert (changes.consequence, changes.notes) == (NOTHING, ["included files were not compared"])


def test_secrets_are_not_shown_and_that_they_changed_is() -> None:
    new = changed((NONCE, "f" * 32), ("dbpass", "hunter2"), ("$var(found) = 0;", '$var(password) = "swordfish"; $var(found) = 0;'))
    changes = FILTERS["script_changes"](base(), new)
    assert not any(secret in str(changes) for secret in ("dbpass", "hunter2", NONCE, "f" * 32, "swordfish"))
    assert "auth/secret was ***, is now *** (changed)" in changes["lines"]
    assert (
        'usrloc/db_url was "mysql://opensips:***@127.0.0.1/opensips", is now "mysql://opensips:***@127.0.0.1/opensips" (changed)'
        in changes["lines"]
    )
    assert '$var(password) = "***"' in changes["diff"]


def test_our_scripts_of_two_versions_and_hosts() -> None:
    assert compare(render(), render()).consequence == NOTHING
    changes = compare(render("3.4"), render("3.6"))
    assert (changes.modules_added, changes.modules_removed, changes.sockets_added) == (["sqlops"], ["avpops"], [])
    assert changes.consequence == RESTART
    hosts = compare(render(host="sip1"), render(host="sip2"))
    assert hosts.consequence == SOCKETS
    assert hosts.routes_changed == ["route"]
    assert {change.name for change in hosts.parameters} == {
        *("clusterer/my_node_id", "clusterer/my_node_info", "clusterer/neighbor_node_info", "httpd/ip")
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('modparam("auth", "secret", "abc")', 'modparam("auth", "secret", "***")'),
        ("modparam('auth', 'secret', 'abc')", "modparam('auth', 'secret', \"***\")"),
        (
            '+modparam("topology_hiding", "th_contact_encode_passwd", "a\\"b" "c")',
            '+modparam("topology_hiding", "th_contact_encode_passwd", "***")',
        ),
        ('modparam("x", "api_key", 123)', 'modparam("x", "api_key", "***")'),
        ('modparam("uac_auth","credential","user:realm:word")', 'modparam("uac_auth","credential","***")'),
        ('modparam("auth_db", "password_column", "ha1")', 'modparam("auth_db", "password_column", "ha1")'),
        ('modparam("a", "db_url", "mysql://u:p@ss/w@h:3306/d")', 'modparam("a", "db_url", "mysql://u:***@h:3306/d")'),
        ('"redis:group1://:word@h:6379/"', '"redis:group1://:***@h:6379/"'),
        ('db_default_url="postgres://u:p@h/d"', 'db_default_url="postgres://u:***@h/d"'),
        ("1 == udp:198.18.20.31:2223 udp:198.18.20.32:2223", "1 == udp:198.18.20.31:2223 udp:198.18.20.32:2223"),
        ('$var(secret) = "x" + $ru;', '$var(secret) = "***" + $ru;'),
        ('if ($avp(password) == "x")', 'if ($avp(password) == "***")'),
        ('rest_append_hf("Authorization: Bearer abc.def");', 'rest_append_hf("Authorization: Bearer ***");'),
        ('append_hf("Authorization: abc\\r\\n");', 'append_hf("Authorization: ***\\r\\n");'),
        ("sip:alice@example.test", "sip:alice@example.test"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown
    assert FILTERS["script_redact"](text) == shown


def test_our_own_script_has_no_secret_after_redaction() -> None:
    text = render(sipha_secret_db_engine="db-Secret_1", sipha_secret_auth_nonce=NONCE)
    assert text.count("db-Secret_1") > 5
    shown = redact(text)
    assert "db-Secret_1" not in shown
    assert NONCE not in shown
    assert len(shown.splitlines()) == len(text.splitlines())
    assert [is_secret(name) for name in ("secret", "th_passwd", "password_column", "db_url")] == [True, True, False, False]


WORDS = st.text(st.characters(codec="ascii", exclude_characters="\"'\\ @", categories=["L", "N", "P", "S"]), min_size=6, max_size=20)


@given(word=WORDS)
def test_no_password_of_a_url_survives(word: str) -> None:
    text = f'modparam("usrloc", "db_url", "mysql://opensips:SECRET{word}@127.0.0.1/opensips")'
    assert "SECRET" not in redact(text)
    assert "SECRET" not in str(compare(base(), changed(("mysql://opensips:dbpass", f"mysql://opensips:SECRET{word}"))).as_dict())


def test_what_can_not_be_read_is_said() -> None:
    with pytest.raises(ScriptError):
        compare(base(), "route {")
    with pytest.raises(AnsibleFilterError, match=r"script_changes: line 1, column 1: the script ends"):
        FILTERS["script_changes"](base(), "route {")
    with pytest.raises(AnsibleFilterError, match="script_sockets"):
        FILTERS["script_sockets"]("text")
    assert FILTERS["script_sockets"]({"a": base(), "b": base()}) == []
    assert FILTERS["script_findings"](base(), 3.6) == []
