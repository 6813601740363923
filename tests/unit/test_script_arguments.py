"""Arguments as the engine takes them. What is wrong and right here was put to opensips -C and to a start, of 3.4, 3.6 and 4.0."""

from __future__ import annotations

import re

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.script.engine import ROUTES, VERSIONS, engine
from ansible_collections.sipha.cluster.plugins.module_utils.script.rules import findings
from script_base import base, changed
from script_cases import FOUND
from script_templates import render

TEXTOPS = ('loadmodule "dialog.so"\n', 'loadmodule "dialog.so"\nloadmodule "textops.so"\nloadmodule "cfgutils.so"\n')
RULES = ("SCRIPT026", "SCRIPT032", "SCRIPT033", "SCRIPT039")


def said(statement: str, version: str = "3.6") -> list[str]:
    """What the rules about arguments say of a statement in the main route, without ids and lines."""
    text = changed(TEXTOPS, (FOUND, f"{statement} {FOUND}"), version=version)
    return [f"{finding.problem}. {finding.remedy}." for finding in findings(text, version) if finding.id in RULES]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            'send_reply("Busy", 486);',
            "argument 1 of send_reply() is a text, and must be a number. It takes send_reply(number, text).",
        ),
        ('send_reply("486", "Busy");', "argument 1 of send_reply() is a text, and must be a number. Write 486, without quotes."),
        ('send_reply("$rs", "Busy");', "argument 1 of send_reply() is a text, and must be a number. Write $rs, without quotes."),
        ("send_reply(486, 1);", 'argument 2 of send_reply() is a number, and must be a text. Write "1", in quotes.'),
        ("t_relay(5);", 'argument 1 of t_relay() is a number, and must be a text. Write "5", in quotes.'),
        ("search(5);", "argument 1 of search() is a number, and must be a regular expression. It takes search(regular expression)."),
        ('pv_printf("$var(a)", "x");', "argument 1 of pv_printf() is a text, and must be a variable. Write $var(a), without quotes."),
        ('pv_printf("a", "x");', "argument 1 of pv_printf() is a text, and must be a variable. It takes pv_printf(variable, text)."),
        ("pv_printf(1, 2);", "argument 1 of pv_printf() is a number, and must be a variable. It takes pv_printf(variable, text)."),
        (
            'setflag("a$var(found)");',
            "argument 1 of setflag() is a text with variables, and must be a text without variables. It takes setflag(text).",
        ),
        (
            'setflag("$$");',
            "argument 1 of setflag() is a text with variables, and must be a text without variables. It takes setflag(text).",
        ),
        (
            "setflag($var(found));",
            "argument 1 of setflag() is a variable, and must be a text without variables. It takes setflag(text).",
        ),
        (
            'raise_event("E_X", $var(found));',
            "argument 2 of raise_event() is another variable, and must be an $avp(). It takes raise_event(text, [$avp()], [$avp()]).",
        ),
        ("xlog($var(found));", "argument 1 of xlog() is a variable, and must be a text. It takes xlog(text, [text])."),
        ('xlog(1, "x");', 'argument 1 of xlog() is a number, and must be a text. Write "1", in quotes.'),
        ('async(sleep("1"), RELAY);', "argument 1 of sleep() is a text, and must be a number. Write 1, without quotes."),
        ("async(sleep(1, 2), RELAY);", "sleep() has 2 arguments and takes 1. It takes sleep(number)."),
        ("send_reply(486);", "send_reply() has 1 arguments and takes 2. It takes send_reply(number, text)."),
        ('send_reply(486, "x", 3);', "send_reply() has 3 arguments and takes 2. It takes send_reply(number, text)."),
        (
            'send_reply( , "x");',
            "argument 1 of send_reply() is left out and must be given. It takes send_reply(number, text).",
        ),
        (
            'while (send_reply("486", "x")) { exit; }',
            "argument 1 of send_reply() is a text, and must be a number. Write 486, without quotes.",
        ),
        ('$var(found) = send_reply("1", "x");', "argument 1 of send_reply() is a text, and must be a number. Write 1, without quotes."),
        (
            'switch ($rU) { case "a": exit; default: strip("1"); }',
            "argument 1 of strip() is a text, and must be a number. Write 1, without quotes.",
        ),
    ],
)
def test_what_the_engine_refuses(statement: str, problem: str) -> None:
    assert problem in said(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "send_reply($rs, $rr);",
        'send_reply(486, "Busy $rm");',
        'send_reply(0x1e6, "Busy");',
        'xlog("L_INFO", "$rm " "$ru");',
        "strip(yes);",
        "strip($(var(found){s.int}));",
        "t_relay($avp(x));",
        't_relay("$var(found)");',
        't_relay( , "udp:192.0.2.1:5060");',
        'append_hf("X-A: $$ costs\\r\\n",);',
        'setflag("CALLER");',
        'raise_event("E_X", $avp(x), $(avp(y)[*]));',
        "search($var(found));",
        "async(sleep($var(found)), RELAY);",
        "unknown_function(1, 2, 3);",
    ],
)
def test_what_the_engine_takes(statement: str) -> None:
    assert said(statement) == []


def test_only_xlog_takes_a_text_in_pieces() -> None:
    (finding,) = findings(changed((FOUND, f'send_reply(486, "Busy " "here"); {FOUND}')), "3.6")
    assert (finding.id, finding.problem) == ("SCRIPT001", "column 29: a text can't stand here, a ) is missing before it")


def test_a_text_that_may_be_a_secret_is_not_repeated() -> None:
    (problem,) = said('send_reply("s3cret-of-ours", "x");')
    assert "s3cret" not in problem


ENTRIES = {
    "onreply_route[ANSWER]": "onreply_route[ANSWER] -> route[A] -> route[B]",
    "failure_route[FAILED]": "failure_route[FAILED] -> route[A] -> route[B]",
    "timer_route[SOON, 5]": "timer_route[SOON] -> route[A] -> route[B]",
    "startup_route": "startup_route -> route[A] -> route[B]",
}
ROUTES_AB = "route[A] { route(B); route(A); }\nroute[B] { t_newtran(); }\n"


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("call", ["route(A);", "if (!route(A)) exit;", "while (route(A)) { $var(i) = 1; }"])
def test_routes_are_followed_from_every_kind_of_entry(entry: str, call: str) -> None:
    text = f'loadmodule "signaling.so"\nloadmodule "tm.so"\nroute {{ exit; }}\n{ROUTES_AB}{entry} {{ {call} }}\n'
    (finding,) = [found for found in findings(text, "3.6") if found.id == "SCRIPT026"]
    assert text.splitlines()[finding.line - 1].startswith("route[B]")
    kind = re.split(r"\W", entry)[0]
    assert finding.problem == f"t_newtran() may not be called in {kind}, and gets there: {ENTRIES[entry]}"
    assert finding.remedy == "Move it out of route[B], or call another route from route[A]"


@pytest.mark.parametrize(
    "text",
    [
        f"route {{ route(A); }}\n{ROUTES_AB}",
        f"route {{ exit; }}\n{ROUTES_AB}failure_route[F] {{ exit; }}\n",
        f"route {{ exit; }}\n{ROUTES_AB}failure_route[F] {{ route($var(x)); }}\n",
        f"route {{ t_newtran(); }}\n{ROUTES_AB}failure_route[F] {{ route(C); }}\nroute[C] {{ route(C); t_relay(); }}\n",
    ],
)
def test_routes_that_no_other_kind_reaches_are_free(text: str) -> None:
    assert "SCRIPT026" not in {finding.id for finding in findings(f'loadmodule "signaling.so"\nloadmodule "tm.so"\n{text}', "3.6")}


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters_are_plausible(version: str) -> None:
    known = engine(version)
    assert known.modules["sl"].functions["sl_send_reply"].usage == "(number, text)"
    assert known.modules["registrar"].functions["save"].usage == "(text, [text], [text], [text])"
    assert known.modules["registrar"].functions["save"].parameters[0].fixed
    assert known.modules["cfgutils"].deferred["sleep"].usage == "(number)"
    assert known.modules["tm"].functions["t_check_status"].patterns == [0]
    for functions in (known.functions, *(module.functions for module in known.modules.values())):
        for name, function in functions.items():
            assert 0 <= function.fewest <= function.most <= 9, name
            assert function.routes == "*" or set(function.routes) <= set(ROUTES.values()), name


@pytest.mark.parametrize("media", ["mediaproxy", "rtpengine"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_quote_too_many_in_our_own_script_is_found(version: str, media: str) -> None:
    """The negative control of the test that our own scripts have no findings: the rules do see these calls."""
    text = render(version, media)
    codes = re.findall(r"send_reply\((\d+),", text)
    assert len(codes) > 10
    wrong = re.sub(r"send_reply\((\d+),", r'send_reply("\1",', text)
    assert sum(finding.id == "SCRIPT039" for finding in findings(wrong, version)) == len(codes)
    assert not [finding for finding in findings(text, version) if finding.id in RULES]
    assert not [finding for finding in findings(base(version), version) if finding.id in RULES]
