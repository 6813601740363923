#!/bin/sh
# A file system of its own for a database of the lab, so that a drill can fill it: new makes it, keep mounts it again, remove takes it away.
# Prints the directory for the data, and nothing where this machine has no loop devices or no mkfs.ext4: the database is then on the container's own disk.
#   lab/disk.sh new|keep|remove NAME
set -eu
place=/var/lib/sipha-lab
disk=$place/$2.ext4
mounted=$place/$2
if [ "$1" != keep ]; then
    if mountpoint -q "$mounted" 2>/dev/null; then umount "$mounted"; fi
    rm -f "$disk"
    if [ -d "$mounted" ]; then rmdir "$mounted"; fi
fi
if [ "$1" = new ] && command -v mkfs.ext4 >/dev/null; then
    mkdir -p "$mounted"
    truncate -s 4G "$disk"
    mkfs.ext4 -q -F "$disk"
fi
[ -e "$disk" ] || exit 0
if ! mountpoint -q "$mounted" && ! mount -o loop "$disk" "$mounted" 2>/dev/null; then
    rm -f "$disk"
    exit 0
fi
mkdir -p "$mounted/data"
echo "$mounted/data"
