"""STUB of the kernel that runs: a system container has that of the machine below, which no package has headers of.

What answers for the kernel here says it is one of Debian's, so that DKMS really builds for it and kmod really reads
what was built. No module is loaded into the machine's kernel: where the module is there, `modprobe` says what it says
on a machine without a GPU.
"""

from __future__ import annotations

import shlex
from typing import Protocol

UNAME = """#!/bin/sh
# STUB: the kernel that runs is RELEASE.
[ "$*" = -r ] && { echo RELEASE; exit; }
exec /usr/lib/slipway-stub/real/uname "$@"
"""
MODINFO = """#!/bin/sh
# STUB: without -k, of the kernel RELEASE.
case " $* " in *" -k "*) ;; *) set -- -k RELEASE "$@" ;; esac
exec /usr/lib/slipway-stub/real/modinfo "$@"
"""
MODPROBE = """#!/bin/sh
# STUB: the kernel RELEASE, on a machine without a GPU.
case $1 in
  nvidia*)
    /usr/lib/slipway-stub/real/modprobe -S RELEASE -n "$1" || exit
    echo "modprobe: ERROR: could not insert '$1': No such device" >&2
    exit 1 ;;
esac
exec /usr/lib/slipway-stub/real/modprobe "$@"
"""
SHIMS = {"/usr/bin/uname": UNAME, "/usr/sbin/modinfo": MODINFO, "/usr/sbin/modprobe": MODPROBE}


class Host(Protocol):
    """A booted machine on which a script can be run as root."""

    def shell(self, script: str) -> str: ...


def run_kernel(host: Host, release: str) -> None:
    """Makes `release` ("6.1.0-56-cloud-amd64") the kernel that runs, as far as its commands say."""
    lines = ["set -e", "mkdir -p /usr/lib/slipway-stub/real"]
    for path, shim in SHIMS.items():
        real = f"/usr/lib/slipway-stub/real/{path.rpartition('/')[2]}"
        script = shlex.quote(shim.replace("RELEASE", release))
        lines.append(f"[ -e {real} ] || mv {path} {real}; printf %s {script} > {path}; chmod 755 {path}")
    host.shell("\n".join(lines))
