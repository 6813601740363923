#!/bin/sh
# Puts on this machine what the lab needs: Docker from Debian, mmdebstrap, graphviz, a virtual environment. Debian 12, as root. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "Run this as root: it installs Debian packages and starts Docker." >&2; exit 1; }

need=""
command -v dockerd >/dev/null || need="$need docker.io"
command -v mmdebstrap >/dev/null || need="$need mmdebstrap"
command -v git >/dev/null || need="$need git"
command -v ip >/dev/null || need="$need iproute2"
command -v dot >/dev/null || need="$need graphviz"
python3 -c 'import venv, ensurepip' 2>/dev/null || need="$need python3-venv python3"
if [ -n "$need" ]; then
    echo "bootstrap: installing$need"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need iptables ca-certificates >/dev/null
fi

if ! docker info >/dev/null 2>&1; then
    echo "bootstrap: starting Docker"
    if [ -d /run/systemd/system ]; then
        systemctl start docker
    else
        mkdir -p /var/log
        # A daemon that was killed leaves its pid file, and the number may be another process by now.
        grep -qs dockerd "/proc/$(cat /var/run/docker.pid 2>/dev/null)/comm" || rm -f /var/run/docker.pid
        setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &
    fi
    tries=0
    until docker info >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -le 120 ] || { echo "bootstrap: Docker did not start, see /var/log/dockerd.log" >&2; exit 1; }
        sleep 0.5
    done
fi

stamp=.venv/.requirements
if ! cmp -s requirements.txt "$stamp"; then
    echo "bootstrap: virtual environment .venv"
    python3 -m venv .venv
    .venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    cp requirements.txt "$stamp"
fi
