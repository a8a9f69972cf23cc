#!/usr/bin/env bash
# Before anything is built: does this machine have what `make up` needs? Says what is missing, and gets it where it may.
# `tools/need.sh test` asks for what only the tests use as well, `tools/need.sh demo` for what signs stub archives.
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=tools/python.sh
. tools/python.sh
check_python

if [ "$(id -u)" != 0 ]; then
  cat >&2 <<'END'
slipway: `make up` needs root, because the local stack is a machine of its own on this one. As root it
  - builds the machine's file system and the container images from Debian packages (mmdebstrap, chroot);
  - mounts that file system as an overlay and boots it (systemd-nspawn, or QEMU where KVM works);
  - makes a network bridge and one NAT rule for it (ip, iptables).
`make down` takes all of it away again. Nothing was built or changed. Run `sudo --preserve-env=PATH make up`.
END
  exit 1
fi

# command:package
needed=(mmdebstrap:mmdebstrap systemd-nspawn:systemd-container ip:iproute2 iptables:iptables mount:mount)
if [ "${1:-}" = test ]; then
  needed+=(qemu-system-x86_64:qemu-system-x86 debugfs:e2fsprogs curl:curl socat:socat shellcheck:shellcheck)
  needed+=(systemd-analyze:systemd ssh-keygen:openssh-client haproxy:haproxy chromium:chromium gpg:gpg)
  needed+=(setpriv:util-linux containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins)
fi
if [ "${1:-}" = demo ]; then
  needed+=(gpg:gpg)
fi
missing=()
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
if [ ${#missing[@]} != 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "slipway: missing: ${missing[*]} (names of the Debian packages). Install them with this system's package manager, then run it again." >&2
    exit 1
  fi
  echo "installing ${missing[*]} by apt-get" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "slipway: installing ${missing[*]} failed. Put that right, run \`apt-get install ${missing[*]}\`, then run it again." >&2
    exit 1
  fi
fi

exec python3 -m tools.artifacts check
