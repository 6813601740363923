#!/bin/sh
# Can the lab get OpenSIPS packages? Says from where, or exits 1 with the reason before anything is built.
# First the directory of .debs, else upstream's repository, if its key's fingerprint is set and the repository answers.
set -eu
cd "$(dirname "$0")/.."
dir="${SIPHA_PACKAGES:-/var/cache/sipha/packages/bookworm}"
if ls "$dir"/opensips_*.deb >/dev/null 2>&1; then
    echo "OpenSIPS packages: $(ls "$dir"/opensips_*.deb | wc -l) release(s) in $dir"
    exit 0
fi
uri=$(sed -n 's/^opensips_repository_uri: *"\{0,1\}\([^" ]*\).*/\1/p' roles/opensips/defaults/main.yml inventories/lab/group_vars/all/*.yml | tail -n 1)
if grep -qs '^opensips_repository_key_fingerprint: *"\{0,1\}[0-9A-Fa-f]' inventories/lab/group_vars/all/*.yml \
    && python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' "$uri" 2>/dev/null; then
    echo "OpenSIPS packages: from $uri"
    exit 0
fi
echo "No OpenSIPS packages: $dir holds none, and $uri can't be used (not reachable, or its key's fingerprint is not set)." >&2
echo "Put the .debs of a release series there (opensips, opensips-*-module, opensips-*-modules, opensips-*-dbschema)," >&2
echo "or set opensips_repository_key_fingerprint in inventories/lab/group_vars/all/cluster.yml where upstream can be reached." >&2
exit 1
