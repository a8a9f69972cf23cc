"""The short scripts and units of the STUB packages."""

from __future__ import annotations

UPDATE_INITRAMFS = "#!/bin/sh\nset -e\nif command -v update-initramfs >/dev/null; then update-initramfs -u; fi\n"
MODPROBE = "#!/bin/sh\n# STUB of nvidia-modprobe\nexec modprobe nvidia\n"
PERSISTENCED = """\
#!/bin/sh
# STUB of the persistence daemon: it stays while the module is there.
case " $* " in *" --version "*) exec nvidia-smi --version ;; esac
if [ ! -e /dev/nvidiactl ]; then
  echo "Failed to query NVIDIA devices. Please ensure that the NVIDIA device files (/dev/nvidia*) exist."
  exit 1
fi
sleep infinity </dev/null >/dev/null 2>&1 &
"""
PERSISTENCED_UNIT = """\
[Unit]
Description=NVIDIA Persistence Daemon

[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --persistence-mode

[Install]
WantedBy=multi-user.target
"""
CDI_SERVICE = """\
[Unit]
Description=Refresh NVIDIA CDI specification file
ConditionPathExists=|/usr/bin/nvidia-smi
ConditionPathExists=|/usr/sbin/nvidia-smi
ConditionPathExists=/usr/bin/nvidia-ctk
After=multi-user.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=/var/run/cdi/nvidia.yaml
EnvironmentFile=-/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env
ExecCondition=/usr/bin/grep -qE '/(nvidia|nvidia-current)\\\\.ko' /lib/modules/%v/modules.dep
ExecStart=/usr/bin/nvidia-ctk cdi generate

[Install]
WantedBy=multi-user.target
"""
CDI_PATH = """\
[Unit]
Description=Trigger CDI refresh on NVIDIA driver install / uninstall events

[Path]
PathChanged=/lib/modules/%v/modules.dep
PathChanged=/lib/modules/%v/modules.dep.bin

[Install]
WantedBy=multi-user.target
"""
