#!/bin/sh
# The lab's two images, made once: sipha/base:bookworm, a bare Debian with systemd (what a user's new host is),
# and sipha/client:bookworm, the same with SIP test tools for phones, routers and carriers.
# From a registry's Debian image when one can be pulled, else from Debian's packages by mmdebstrap.
set -eu
SUITE=bookworm
BARE=systemd,systemd-sysv,dbus,python3,python3-apt,iproute2,iputils-ping,procps,ca-certificates,sudo

have() { docker image inspect "$1" >/dev/null 2>&1; }

if ! have sipha/base:$SUITE; then
    if timeout 30 docker pull -q debian:$SUITE-slim >/dev/null 2>&1; then
        echo "lab: base image from debian:$SUITE-slim"
        printf 'FROM debian:%s-slim\nRUN apt-get update && apt-get install -y --no-install-recommends %s && apt-get clean\nCMD ["/lib/systemd/systemd"]\n' \
            "$SUITE" "$(echo $BARE | tr ',' ' ')" | docker build -q -t sipha/base:$SUITE - >/dev/null
    else
        echo "lab: no image registry in reach, base image by mmdebstrap (about 40 s)"
        mmdebstrap --quiet --variant=minbase --include="$BARE" $SUITE - | docker import -c 'CMD ["/lib/systemd/systemd"]' - sipha/base:$SUITE >/dev/null
    fi
fi

if ! have sipha/client:$SUITE; then
    echo "lab: image for phones, routers and carriers"
    printf 'FROM sipha/base:%s\nRUN apt-get update && apt-get install -y --no-install-recommends %s && apt-get clean\n' \
        "$SUITE" "sip-tester nftables conntrack tcpdump" | docker build -q -t sipha/client:$SUITE - >/dev/null
fi
