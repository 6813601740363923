"""Packages from a signed repository: the key is pinned, and whatever is wrong with key or repository leaves the host as it was.

Upstream's own repository can't be reached from every test machine, so the host carries one of its own, signed by its own key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
from test_series import play

NAME = "series36"
REPOSITORY = "/srv/repository"
MAKE = f"""set -e
export GNUPGHOME=/srv/gnupg DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq gpg gpg-agent apt-utils >/dev/null
mkdir -p {REPOSITORY} $GNUPGHOME && chmod 700 $GNUPGHOME
cp /var/lib/sipha/packages/opensips/*.deb {REPOSITORY}/
cd {REPOSITORY}
gpg --batch --quiet --passphrase '' --quick-generate-key 'repository of a test' rsa2048 sign never
apt-ftparchive packages . > Packages
apt-ftparchive release . > Release
gpg --batch --yes --armor --clearsign --output InRelease Release
gpg --batch --armor --export > key.asc
gpg --batch --with-colons --list-keys | awk -F: '$1 == "fpr" {{print $10; exit}}'
"""


@pytest.fixture(scope="module")
def host() -> testinfra.host.Host:
    return testinfra.get_host(f"docker://sipha-{NAME}")


@pytest.fixture(scope="module")
def fingerprint(host: testinfra.host.Host) -> str:
    result = host.run(f"sh -c '{MAKE.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'")
    assert result.rc == 0, result.stdout + result.stderr
    return str(result.stdout.split()[-1])


@pytest.fixture
def unchanged(host: testinfra.host.Host, fingerprint: str) -> Iterator[None]:
    """What the test must not touch: the installed engine, its script, and apt's sources."""

    def state() -> str:
        return str(
            host.check_output(
                "dpkg-query -W opensips; sha256sum /etc/opensips/opensips.cfg; "
                "find /etc/apt/sources.list.d -type f ! -name 'sipha-opensips*' -exec sha256sum {} +"
            )
        )

    before = state()
    yield
    assert state() == before


def variables(fingerprint: str, **changes: str) -> dict[str, object]:
    return {
        "opensips_packages_dir": "",
        "opensips_repository_uri": f"file:{REPOSITORY}",
        "opensips_repository_suite": "./",
        "opensips_repository_key": f"{REPOSITORY}/key.asc",
        "opensips_repository_key_fingerprint": fingerprint,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opensips_repository_key_fingerprint": ""}, "opensips_repository_key_fingerprint is not set"),
        ({"opensips_repository_key_fingerprint": "A" * 40}, "not opensips_repository_key_fingerprint. Nothing has been changed"),
        ({"opensips_repository_key": "/srv/no-such-key"}, "no-such-key"),
        ({"opensips_repository_key": "http://198.18.40.250/key"}, "198.18.40.250"),
    ],
)
def test_a_key_that_is_not_the_pinned_one_stops_everything(
    unchanged: None, fingerprint: str, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    result = play(tmp_path, NAME, variables(fingerprint, **changes), {}, entry="install.yml")
    assert result.returncode != 0
    assert message in " ".join((result.stdout + result.stderr).split())


def test_the_pinned_key_lets_the_packages_in(host: testinfra.host.Host, fingerprint: str, tmp_path: Path) -> None:
    """From an empty host: the engine is taken off, and comes back from the signed repository alone."""
    host.check_output("mv /etc/apt/sources.list.d/sipha-opensips.sources /srv/ && apt-get purge -y -qq 'opensips*' && apt-get update -qq")
    try:
        result = play(tmp_path, NAME, variables(fingerprint), {}, entry="install.yml")
        assert result.returncode == 0, result.stdout + result.stderr
        assert host.package("opensips").version.startswith("3.6.")
        source = host.file("/etc/apt/sources.list.d/opensips.sources").content_string
        assert "Signed-By: /usr/share/keyrings/opensips.asc" in source
        assert "trusted" not in source.lower()
    finally:
        # back to what the other tests expect: local packages, and a rendered script
        host.run(
            "mv /srv/sipha-opensips.sources /etc/apt/sources.list.d/; rm -f /etc/apt/sources.list.d/opensips.sources; apt-get update -qq"
        )
        healed = [play(tmp_path, NAME, {}, {}, entry=entry).returncode for entry in ("install.yml", "configure.yml")]
    assert healed == [0, 0]
