"""The engine's language: what it knows is read, with lines; what it does not is one finding and never a traceback."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.sipha.cluster.plugins.filter.script import FilterModule
from ansible_collections.sipha.cluster.plugins.module_utils.script import ast, grammar
from ansible_collections.sipha.cluster.plugins.module_utils.script.engine import VERSIONS
from ansible_collections.sipha.cluster.plugins.module_utils.script.grammar import ScriptError, decoded, parse
from ansible_collections.sipha.cluster.plugins.module_utils.script.rules import findings, socket_findings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script_base import base

LANGUAGE = r"""
/* a comment /* in a comment */ */
log_level = -1 log_prefix='it''s'   # two on one line
socket=udp:[2001:db8::1]:5060 as "sip.example.test":5070 use_workers 4
socket=udp:*:5060-5062,5070 tag public anycast
alias=udp:example.test:5060 example.org
dst_blacklist = gw:{( tcp , 192.0.2.200 , 5060 , ""),!( any , 192.0.2.0/24 , 0 , "")}
mem-group = "sip": "tm" "dialog"
auto_scaling_profile = P scale up to 6 on 70% for 4 cycles within 5 scale down to 2 on 18% for 10 cycles
mpath="/usr/lib/opensips/modules/"
loadmodule "tm.so"
modparam("usrloc|registrar", "x", 0x10) modparam('tm', "y", "one" "two")
import_file "other.cfg"

route {
    $var(a) = 1 + 2 * 3 - $var(b) / 4 % 5;
    $var(a) := NULL; $var(a) += 1; $avp(x)[0] = "no";
}
"""
STATEMENTS = r"""
;
$var(a) = 1 + 2 * 3 - $var(b) / 4 % 5 & 6 | 7 ^ (8 << 1) >> ~9;
$var(a) := NULL;
$var(a) += 1; $var(s) = "a" + $var(s);
$(hdr(X)[-1]) = $(ct.fields(uri)[$var(i)]{uri.host}{s.len});
$var(x) = $(hdr(CSeq){re.subst,/^[0-9]+[ \t]+(a)?//});
$var(y) = $si == 192.0.2.0/24;
$var(z) = f("x");
if ($si == 192.0.2.1 and not is_method("A") || !($rU =~ "^a$") && ($var(a) > -3 or $avp(b) == null)) drop(); else exit;
if ([$var(a) + 1]) { } else if ({ f(); }) { g(, , "x", -1, $ru); } else { return; }
if ($var(a) = 3) return 1; else return(-1, "x", NULL, $ru);
if (($rc)) return $rc;
while ($var(i) < 3) { $var(i) = $var(i) + 1; if ($var(i) == 2) break; }
for ($var(u) in $(avp(list)[*])) xlog("L_INFO", "one " "two\n");
switch ($rm) { case "INVITE": case 'ACK': f(); break; case 3: case -3: default: g(); }
route(1); route(NAME, "x", 2, $ru, NULL); route("NAME"); route($var(name));
assert($var(a) == 1, "no"); assert($var(a));
async(rest_get("http://x", $var(body)), RESUME); async(sleep(1), RESUME, 3); launch(sleep(1)); launch(sleep(1), DONE, "x");
error("a", "b"); log(1, "x");
include_file "in_route.cfg"
t_relay();
"""
KINDS = """
route { exit; } route[A] { exit; } route[0x] { exit; } failure_route[A] { exit; } onreply_route { exit; } onreply_route["A"] { exit; }
branch_route[A] { exit; } error_route { exit; } local_route { exit; } startup_route { exit; } timer_route[t, 5] { exit; }
event_route[E_ACC_CDR] { exit; }
"""


def statements(text: str) -> tuple[ast.Node, ...]:
    (block,) = parse(f"route {{\n{text}\n}}").blocks
    return block.body


def test_every_construct_is_read() -> None:
    script = parse(LANGUAGE.replace('$avp(x)[0] = "no";', ""))
    assert [item.name for item in script.settings[:3]] == ["log_level", "log_prefix", "socket"]
    assert script.settings[2].value == ("udp:[2001:db8::1]:5060", "as", "sip.example.test", ":5070", "use_workers", "4")
    assert script.settings[3].value == ("udp:*:5060-5062", ",", "5070", "tag", "public", "anycast")
    assert script.modules == [ast.LoadModule(0, "tm.so")]
    assert script.parameters[0] == ast.ModParam(0, "usrloc|registrar", "x", ast.Number(0, 16))
    assert script.parameters[1] == ast.ModParam(0, "tm", "y", ast.Text(0, "onetwo"))
    assert ast.Include(0, "other.cfg") in script.items
    assert [block.line for block in script.blocks] == [15]
    with pytest.raises(ScriptError, match=r"line 17, column 47: '\[0\] = \"no\";' can't|line 17"):
        parse(LANGUAGE)


def test_every_statement_is_read_with_its_line() -> None:
    body = statements(STATEMENTS)
    kinds = {type(node).__name__ for node in ast.walk(body)}
    assert kinds == {
        *("Assignment", "Arithmetic", "Variable", "Number", "Negated", "Grouped", "Null", "Text", "Comparison", "Address", "Call", "If"),
        *("Logic", "Leave", "Inner", "While", "Break", "For", "Switch", "Case", "RouteCall", "Assertion", "Deferred", "Include"),
    }
    lines = STATEMENTS.splitlines()
    for node in body:
        if isinstance(node, ast.Call):
            assert node.name in lines[node.line - 2]
    assert ast.Call(0, "t_relay", ()) in body


def test_every_kind_of_route_is_read() -> None:
    assert [block.title for block in parse(KINDS).blocks] == [
        *("route", "route[A]", "route[0x]", "failure_route[A]", "onreply_route", "onreply_route[A]", "branch_route[A]", "error_route"),
        *("local_route", "startup_route", "timer_route[t]", "event_route[E_ACC_CDR]"),
    ]
    assert parse("route[0] { exit; }") == parse("route { # main\n exit; }")


def test_arguments_keep_their_places() -> None:
    (call,) = statements('save("location", , , "vip");')
    assert call == ast.Call(0, "save", (ast.Text(0, "location"), None, None, ast.Text(0, "vip")))
    assert statements("f();") == (ast.Call(0, "f", ()),)


def test_precedence_is_the_engines() -> None:
    (first, second) = statements("if ($a || $b && $c) exit; if (!$a == 1) exit;")
    assert isinstance(first, ast.If)
    assert isinstance(first.condition, ast.Logic)
    assert (first.condition.operator, type(first.condition.left).__name__) == ("and", "Logic")
    assert isinstance(second, ast.If)
    assert isinstance(second.condition, ast.Negated)
    (calculation,) = statements("$var(a) = 1 | 2 + 3;")
    assert isinstance(calculation, ast.Assignment)
    assert isinstance(calculation.value, ast.Arithmetic)
    assert calculation.value.operator == "|"


def test_an_else_belongs_to_the_nearest_if() -> None:
    (outer,) = statements("if ($a) if ($b) f(); else g();")
    assert isinstance(outer, ast.If)
    assert outer.otherwise is None


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (r'"a\nb"', "a\nb"),
        (r'"\\d\."', "\\d\\."),
        (r'"\x41\101"', "AA"),
        (r"'a\n'", r"a\n"),
        (r'"say \"x\""', 'say "x"'),
        ('"a\\\nb"', "ab"),
    ],
)
def test_strings_are_the_engines(literal: str, text: str) -> None:
    assert decoded(literal) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("route {\n\tt_relay()\n}", "line 3, column 1: '}' can't stand here, a ; is missing before it"),
        ("route {\n\tt_relay() exit;\n}", "line 2, column 12: 'exit' can't stand here, a ; is missing before it"),
        ("route { if ($a == 1 exit; }", "line 1, column 21: 'exit' can't stand here, a ) is missing before it"),
        ("route { exit;", "line 1, column 1: the script ends in the middle of something: a } or a ; is missing"),
        ('route { xlog("abc); exit; }', "line 1, column 14: a text that does not end"),
        ("route {}", "line 1, column 8: '}' can't stand here"),
        ("log_level 3", "line 1, column 1: 'log_level"),
        ("\n\nroute[A { exit; }", "line 3, column 9: '{' can't stand here"),
        ("route { { exit; } }", "line 1, column 9: '{' can't stand here"),
        ('modparam("auth", "secret" "abc")', "line 1, column 27: a text can't stand here"),
        ("route { ` }", "line 1, column 9: '`' can't be read"),
        ("loadmodule tm.so", "line 1, column 12: 'tm.so' can't"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(text)
    assert str(caught.value).startswith(says.rstrip("'") if says.endswith("'") else says)
    assert "\n" not in str(caught.value)
    (finding,) = findings(text, "3.6")
    assert (finding.id, finding.severity) == ("SCRIPT001", "error")


@pytest.mark.parametrize(
    "text",
    [
        "route { " + "if ($a) { " * 3000 + "exit; " + "}" * 3000 + "}",
        "route { if (" + "(" * 3000 + "$a" + ")" * 3000 + ") exit; exit; }",
        "route { if ($a" + " || $a" * 3000 + ") exit; exit; }",
        "route { $var(a) = " + "9" * 9000 + "; exit; }",
        "route { " + "$(a" * 300 + ")" * 300 + " = 1; }",
        'route { if ($a =~ "' + "(" * 900 + '") exit; exit; }',
        'route { if ($a =~ "((a{200}){200}){200}") exit; t_relay(); }',
        "/*" * 500,
        "$" * 500,
        "(" * 5000,
        "route[" * 500,
        '"' + "\\" * 999,
    ],
)
def test_monsters_are_findings(text: str) -> None:
    for finding in findings(text, "3.6"):
        assert "\n" not in str(finding)


WORDS = (
    "route { } ( ) ; [ ] , if else while switch case for in exit return $var(a) $( $ru = == =~ ! && || 'x' ' \" \\ 1 0x NULL f "
    "t_relay(); send_reply(200,'OK'); loadmodule modparam socket= udp:1.2.3.4:5 # /* */ async( timer_route[a,1] {re.subst,/(/x/} "
    "include_file"
)
PIECES = st.sampled_from([*WORDS.split(" "), "\n", "# lint: SCRIPT001 x\n"])
JUNK = st.text(max_size=60) | st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(text=JUNK, version=st.sampled_from(VERSIONS))
def test_junk_is_a_finding_and_never_a_traceback(text: str, version: str) -> None:
    try:
        parse(text)
    except ScriptError:
        (finding,) = findings(text, version)
        assert (finding.id, finding.severity) == ("SCRIPT001", "error")
    else:
        findings(text, version)
    socket_findings({"a": text, "b": base()})


@settings(deadline=None, max_examples=150)
@given(junk=JUNK.filter(bool), data=st.data())
def test_junk_inside_a_good_script_is_no_traceback(junk: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(base())))
    text = base()[:place] + junk + base()[place:]
    for finding in findings(text, "3.6"):
        assert finding.line >= 1
        assert "\n" not in str(finding)


def test_without_lark_the_filter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name == "lark":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    monkeypatch.delitem(sys.modules, "lark", raising=False)
    grammar._parser.cache_clear()
    filters = FilterModule().filters()
    with pytest.raises(AnsibleFilterError, match=r"script_findings: The controller has no Python library 'lark'.*pip install lark"):
        filters["script_findings"](base(), "3.6")
    monkeypatch.undo()
    grammar._parser.cache_clear()
    assert filters["script_findings"](base(), "3.6") == []
