"""A small script without findings, and changed copies of it."""

from __future__ import annotations

BASE = """\
log_level=3
socket=udp:198.18.10.10:5060
socket=bin:198.18.20.11:5566
loadmodule "proto_udp.so"
loadmodule "proto_bin.so"
loadmodule "db_mysql.so"
loadmodule "clusterer.so"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "sipmsgops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "auth.so"
loadmodule "dialog.so"
modparam("usrloc", "db_url", "mysql://opensips:dbpass@127.0.0.1/opensips")
modparam("usrloc", "working_mode_preset", "sql-only")
modparam("usrloc", "nat_bflag", "NAT")
modparam("auth", "secret", "0123456789abcdef0123456789abcdef")
modparam("clusterer", "neighbor_node_info", "cluster_id=1, node_id=2, url=bin:198.18.20.12:5566")
modparam("clusterer", "neighbor_node_info", "cluster_id=1, node_id=3, url=bin:198.18.20.13:5566")

route {
    if ($ua =~ "friendly-scanner|sipcli") exit;
    if (has_totag()) { route(RELAY); exit; }
    if (nat_uac_test("private-contact,diff-ip-src-via")) { setbflag("NAT"); setflag("CALLER"); }
    if (is_method("REGISTER")) {
        if (!save("location", "no-reply")) send_reply(503, "Not Stored"); else send_reply(200, "OK");
        exit;
    }
    $var(found) = 0;
    if (lookup("location", "method-filtering")) $var(found) = 1;
    if ($var(found) == 0) { send_reply(404, "Not Found"); exit; }
    if (is_method("INVITE")) { create_dialog("%dialog%"); t_on_reply("ANSWER"); t_on_failure("FAILED"); }
    route(RELAY);
}

route[RELAY] {
    xlog("L_INFO", "$rm from $si to $ru ($(ru{uri.host}))\\n");
    if (!t_relay()) send_reply(500, "Server Error");
    exit;
}

onreply_route[ANSWER] {
    if (isflagset("CALLER") || nat_uac_test("private-contact")) fix_nated_contact();
}

failure_route[FAILED] {
    if (t_check_status("(408)|(5[0-9][0-9])")) t_reply(480, "Unavailable");
}
"""


def base(version: str = "3.6") -> str:
    return BASE.replace("%dialog%", "bye-on-timeout" if version == "4.0" else "B")


def changed(*changes: tuple[str, str], version: str = "3.6") -> str:
    """The base with (old, new) replaced; old = "" appends."""
    text = base(version)
    for old, new in changes:
        if old:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        else:
            text += new
    return text
