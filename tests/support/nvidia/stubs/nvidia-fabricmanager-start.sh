#!/bin/sh
# STUB of the fabric manager's start script: tells the two kinds of fabric apart.
[ "$2" != stop ] || exit 0
if grep -qs SW_MNG /sys/class/infiniband/*/device/vpd; then
  echo "Detected NVL5+ system"
else
  echo "Detected Pre-NVL5 system"
fi
exec /usr/bin/nv-fabricmanager -c /usr/share/nvidia/nvswitch/fabricmanager.cfg
