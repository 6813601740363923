#!/bin/sh
# Which media relay can the lab have? Mediaproxy is not in Debian; RTPEngine is.
set -eu
dir="${SIPHA_PACKAGES:-/var/cache/sipha/packages/bookworm}"
if ls "$dir"/mediaproxy-relay_*.deb >/dev/null 2>&1; then
    echo mediaproxy
else
    echo "No Mediaproxy packages in $dir: the lab relays media with RTPEngine (sipha_media_relay)." >&2
    echo rtpengine
fi
