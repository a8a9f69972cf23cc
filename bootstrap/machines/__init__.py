"""Local machines: real Linux with systemd as PID 1 and sshd at an address of its own, booted on this computer.

A machine's folder (`MachineSpec.state`) holds everything about it; the folder two levels up, its *root*, is one
private network. Roots do not see each other: every name and address is derived from the root's path or recorded in it.
"""

from bootstrap.machines.lifecycle import create, is_alive, remove, start
from bootstrap.machines.spec import Kind, KindSetting, MachineSpec, MachineState

__all__ = ["Kind", "KindSetting", "MachineSpec", "MachineState", "create", "is_alive", "remove", "start"]
