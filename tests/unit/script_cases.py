"""For every rule over scripts: what makes the script of script_base trip it, and what comes near and does not."""

from __future__ import annotations

Edit = tuple[str, str]
RR = 'loadmodule "rr.so"\n'
MAIN_END = "    route(RELAY);\n}"
FOUND = "$var(found) = 0;"
LOADED = 'loadmodule "dialog.so"\n'

# rule -> (what trips it, what comes near and does not)
CASES: dict[str, tuple[Edit, Edit]] = {
    "SCRIPT001": (("exit; }", "exit }"), ("exit; }", "exit(); }")),
    "SCRIPT002": (("log_level=3", "log_levels=3"), ("log_level=3", "log_level=-1")),
    "SCRIPT003": ((RR, RR + 'loadmodule "avpops.so"\n'), (RR, RR + 'loadmodule "textops.so"\n')),
    "SCRIPT004": ((RR, RR + RR), (RR, 'loadmodule "/usr/lib/opensips/modules/rr.so"\n')),
    "SCRIPT005": (('loadmodule "signaling.so"\n', ""), ('loadmodule "sl.so"\n', "")),
    "SCRIPT006": (
        (
            'loadmodule "proto_bin.so"\nloadmodule "db_mysql.so"\nloadmodule "clusterer.so"\n',
            'loadmodule "db_mysql.so"\nloadmodule "clusterer.so"\nloadmodule "proto_bin.so"\n',
        ),
        ('loadmodule "proto_bin.so"\n', ""),
    ),
    "SCRIPT007": (('"mysql://', '"postgres://'), ('"mysql://opensips:dbpass@127.0.0.1/opensips"', '""')),
    "SCRIPT008": (
        ("log_level=3", "log_level=3\nsocket=tcp:198.18.10.10:5060"),
        ("log_level=3", "log_level=3\nalias=tcp:198.18.10.10:5060"),
    ),
    "SCRIPT009": (("socket=udp:198.18.10.10:5060", "socket=198.18.10.10"), ("udp:198.18.10.10:5060", 'udp:"eth0":5060 as 192.0.2.1')),
    "SCRIPT010": ((LOADED, LOADED + 'modparam("pike", "remove_latency", 60)\n'), (LOADED, LOADED + 'modparam("dial.g", "db_mode", 0)\n')),
    "SCRIPT011": ((LOADED, LOADED + 'modparam("tm", "fr_timer", 5)\n'), (LOADED, LOADED + 'modparam("tm", "fr_timeout", 5)\n')),
    "SCRIPT012": (("log_level=3", "log_level=3\nlog_level=4"), ("log_level=3", "log_level=3\nsocket=udp:198.18.10.10:5062")),
    "SCRIPT013": (('"sql-only"', '"sql_only"'), ('"sql-only"', '"SQL-ONLY"')),
    "SCRIPT014": (("log_level=3", 'log_level=3\ninclude_file "own.cfg"'), ("log_level=3", 'log_level=3\nlog_prefix="include_file"')),
    "SCRIPT020": (('t_on_reply("ANSWER")', 't_on_reply("ANSWERS")'), ("route(RELAY); exit;", 'route("RELAY"); exit;')),
    "SCRIPT021": (("", "\nroute[OLD] { exit; }\n"), (FOUND, 'if ($rU == "OLD") $rU = "x"; $var(found) = 0;')),
    "SCRIPT022": (
        ("", '\nfailure_route[FAILED] { t_reply(480, "x"); }\n'),
        ("", "\ntimer_route[a, 5] { exit; }\ntimer_route[a, 9] { exit; }\n"),
    ),
    "SCRIPT023": (
        ("    if (!t_relay())", "    if ($rc < 0) route(RELAY);\n    if (!t_relay())"),
        ('t_reply(480, "Unavailable")', 't_on_failure("FAILED")'),
    ),
    "SCRIPT027": (
        ("    if (!t_relay())", "    route(RELAY);\n    if (!t_relay())"),
        ("    if (!t_relay())", "    if ($rc < 0) route(RELAY);\n    if (!t_relay())"),
    ),
    "SCRIPT024": (("    exit;\n}", '    exit;\n    send_reply(200, "OK");\n}'), ("    exit;\n}", "    exit;;\n}")),
    "SCRIPT025": ((FOUND, "if ($rU == NULL) break; " + FOUND), (FOUND, "while ($rc < 0) { if ($rU == NULL) break; } " + FOUND)),
    "SCRIPT026": (
        ("onreply_route[ANSWER] {", "route[NEW] { t_newtran(); }\nonreply_route[ANSWER] { route(NEW);"),
        ("onreply_route[ANSWER] {", 'route[NEW] { lookup("x"); }\nonreply_route[ANSWER] { route(NEW);'),
    ),
    "SCRIPT030": ((FOUND, "send_answer(200); " + FOUND), (FOUND, "t_newtran(); " + FOUND)),
    "SCRIPT031": (
        (FOUND, "consume_credentials(); check_address(1, $si, $sp, $socket_in(proto)); " + FOUND),
        (FOUND, "consume_credentials(); " + FOUND),
    ),
    "SCRIPT032": (
        ("fix_nated_contact();", 'fix_nated_contact(); lookup("x"); t_newtran();'),
        ("fix_nated_contact();", 'fix_nated_contact(); lookup("x");'),
    ),
    "SCRIPT033": (('send_reply(404, "Not Found")', "send_reply(404)"), ('save("location", "no-reply")', 'save("location", , , "vip")')),
    "SCRIPT034": (('"private-contact,diff', '"private-contacts,diff'), ('"no-reply"', '"no-reply, max-contacts=3"')),
    "SCRIPT035": (("$ru (", "$ruu ("), ("$ru (", "$$ $5 $ru (")),
    "SCRIPT036": (('"friendly-scanner|sipcli"', '"(friendly-scanner"'), ('"friendly-scanner|sipcli"', r'"\(friendly-scanner"')),
    "SCRIPT037": (
        ('if (isflagset("CALLER") || nat', 'if (isflagset("CALLER") || $rs == 200 && nat'),
        ('if (isflagset("CALLER") ||', 'if (isflagset("CALLER") && $rs == 200 ||'),
    ),
    "SCRIPT038": (('"friendly-scanner|sipcli"', r"'\d+'"), ('"friendly-scanner|sipcli"', r'"[0-9]+\\.[\t ]"')),
    "SCRIPT039": (('send_reply(404, "Not Found")', 'send_reply("404", "Not Found")'), ("send_reply(404, ", "send_reply($var(found), ")),
    "SCRIPT040": ((MAIN_END, "}"), (MAIN_END, "    if (!t_relay()) sl_reply_error();\n}")),
    "SCRIPT041": (
        ('if ($var(found) == 0) { send_reply(404, "Not Found"); exit; }', "if ($var(found) == 0) exit;"),
        (FOUND, 'if (is_method("ACK")) exit; if ($si == "192.0.2.1") drop; ' + FOUND),
    ),
    "SCRIPT050": (
        ('setflag("CALLER")', 'setflag("CALLER"); setflag("CALLEE")'),
        ('setflag("CALLER")', 'setflag("CALLER"); setflag("NAT")'),
    ),
    "SCRIPT051": (
        ('isflagset("CALLER") ||', 'isflagset("CALLER") || isflagset("CALLEE") ||'),
        ('isflagset("CALLER")', 'isflagset("CALLER") || isbflagset("NAT")'),
    ),
    "SCRIPT052": ((FOUND, "$var(count) = 1; " + FOUND), (FOUND, '$var(count) = 1; xlog("$var(count)"); ' + FOUND)),
    "SCRIPT053": (("$var(found) == 0", "$var(fuond) == 0"), ("$var(found) == 0", "$avp(fuond) == NULL && $var(found) == 0")),
}
