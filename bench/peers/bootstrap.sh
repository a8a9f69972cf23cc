#!/bin/sh
# What somebody would write by hand in place of Slipway: the same packages at the same versions, held, with Docker's
# settings. PACKAGES is "name=version name=version …". It checks nothing and repairs nothing: it is the least to do.
set -eu
export DEBIAN_FRONTEND=noninteractive

install -d -m 755 /etc/slipway /var/lib/slipway /var/lib/slipway/models /usr/local/lib/slipway /etc/docker
install -d -m 700 /var/lib/slipway/archives

{
  echo 'Unattended-Upgrade::Package-Blacklist {'
  for package in $PACKAGES; do echo "  \"^${package%%=*}\$\";"; done
  echo '};'
} >/etc/apt/apt.conf.d/52bootstrap

# Before Docker's first start, so that it needs no second one.
cat >/etc/docker/daemon.json <<'END'
{
  "live-restore": true,
  "log-driver": "json-file",
  "log-opts": {"max-file": "3", "max-size": "50m"}
}
END

# The lists came with the host; they are read again only if they are too old for these versions.
# shellcheck disable=SC2086  # one word a package
get() { apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 $PACKAGES; }
get || { apt-get update -q && get; }

for package in $PACKAGES; do echo "${package%%=*}"; done | xargs apt-mark -q hold
systemctl enable --now docker.service
docker version
