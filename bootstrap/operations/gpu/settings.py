"""What a running driver is told: persistence, fabric, ECC, MIG and power, and the CDI specification of its GPUs.

All of it waits until the installed driver runs; after a reboot `converge_host` asks again.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bootstrap.facts import Facts
from bootstrap.facts.gpu_model import CdiSpec, Gpu
from bootstrap.operations.gpu.driver import live
from bootstrap.operations.step import SAVED, Plan, Put, Run, Step, Steps
from bootstrap.session import Command
from slipway.desired import GpuDesired, HostDesired

PERSISTENCE_UNIT = "nvidia-persistenced.service"
PERSISTENCE_PATH = f"/etc/systemd/system/{PERSISTENCE_UNIT}.d/slipway.conf"
# Ubuntu's unit starts it with --no-persistence-mode, and its user has another name in each archive.
PERSISTENCE = """\
# Written by Slipway.
[Service]
ExecStart=
ExecStart=/usr/bin/nvidia-persistenced --persistence-mode --verbose

[Install]
WantedBy=multi-user.target
"""
FABRIC_UNIT = "nvidia-fabricmanager.service"
CDI_UNITS = ("nvidia-cdi-refresh.service", "nvidia-cdi-refresh.path")
SETTINGS_UNIT = "slipway-gpu.service"
SETTINGS_PATH = f"/etc/systemd/system/{SETTINGS_UNIT}"
SCRIPT_PATH = "/usr/local/lib/slipway/gpu-settings"
FILES = (SCRIPT_PATH, SETTINGS_PATH)
UNITS = (PERSISTENCE_UNIT, FABRIC_UNIT, *CDI_UNITS, SETTINGS_UNIT)
DEADLINE = 300.0

SETTINGS = f"""\
# Written by Slipway: a power limit and MIG instances are gone after every boot.
[Unit]
Description=GPU settings of the release
After={PERSISTENCE_UNIT}
Before={CDI_UNITS[0]} docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={SCRIPT_PATH}

[Install]
WantedBy=multi-user.target
"""


def script_content(gpu: GpuDesired) -> str | None:
    """What sets ECC, power and MIG on every GPU, again and again with the same end; None where nothing is asked."""
    lines = []
    if gpu.ecc is not None:
        lines.append(f"nvidia-smi -e {int(gpu.ecc)}")
    if gpu.power_limit is not None:
        lines.append(f"nvidia-smi -pl {gpu.power_limit}")
    if gpu.mig is not None:
        lines.append(_MIG.replace("PROFILE", gpu.mig))
    if not lines:
        return None
    return "#!/bin/sh\n# Written by Slipway.\nset -e\n" + "\n".join(lines) + "\n"


# A GPU that must be reset first only notes the mode; the reboot that follows runs this again.
_MIG = """\
nvidia-smi --query-gpu=index,mig.mode.current --format=csv,noheader | while IFS=', ' read -r gpu mode; do
  [ "$mode" = Enabled ] || nvidia-smi -i "$gpu" -mig 1
  [ "$(nvidia-smi -i "$gpu" --query-gpu=mig.mode.current --format=csv,noheader)" = Enabled ] || continue
  others=$(nvidia-smi -i "$gpu" -L | grep '^ *MIG ' | grep -v '^ *MIG PROFILE ' || true)
  [ -z "$others" ] || { nvidia-smi mig -i "$gpu" -dci; nvidia-smi mig -i "$gpu" -dgi; }
  # As many as fit: the one that does not is refused.
  while nvidia-smi mig -i "$gpu" -cgi PROFILE -C >/dev/null 2>&1; do :; done
done"""


_POWER_BACK = """\
nvidia-smi --query-gpu=index,power.default_limit --format=csv,noheader,nounits | while IFS=', ' read -r gpu watts; do
  nvidia-smi -i "$gpu" -pl "${watts%.*}" || exit
done"""
_MIG_BACK = """\
nvidia-smi mig -dci || true
nvidia-smi mig -dgi || true
nvidia-smi -mig 0"""


def _back(before: str, after: str) -> list[str]:
    """What gives GPUs back what the script `before` took from them and `after` does not ask for. ECC stays: it has no
    default that could be asked for."""
    given_back = (("nvidia-smi -pl", _POWER_BACK), ("-mig 1", _MIG_BACK))
    return [back for command, back in given_back if command in before and command not in after]


def keep_persistence(facts: Facts, desired: HostDesired) -> Steps:
    if desired.gpu is None or not live(facts, desired):
        return Steps("no driver runs that could be kept awake")
    plan, why = Plan(), []
    unit = facts.units.get(PERSISTENCE_UNIT)
    changed = facts.files.get(PERSISTENCE_PATH) != PERSISTENCE
    if changed:
        why.append("the persistence daemon has other settings")
        plan.steps.append(Put(PERSISTENCE_PATH, PERSISTENCE))
    if unit is None or unit.active != "active" or unit.enabled != "enabled":
        why.append(f"{PERSISTENCE_UNIT} is {unit.active if unit else 'not there'}")
    if any(gpu.persistence == "Disabled" for gpu in facts.smi.gpus):
        why.append("a GPU falls asleep between its clients")
    if why:
        script = f"systemctl daemon-reload && systemctl enable -q {PERSISTENCE_UNIT} && "
        plan.run(script + f"systemctl restart {PERSISTENCE_UNIT}", "keep the GPUs awake", deadline=DEADLINE)
    return plan.done("; ".join(why) or "the persistence daemon runs")


def run_fabric(facts: Facts, desired: HostDesired) -> Steps:
    fabric = facts.pci.has_nvswitch or bool(facts.pci.nvlink5)
    if desired.gpu is None or not fabric or not live(facts, desired):
        return Steps("no fabric to manage, or no driver that runs")
    unit = facts.units.get(FABRIC_UNIT)
    if unit is not None and (unit.active, unit.enabled) == ("active", "enabled"):
        return Steps("the fabric manager runs")
    plan = Plan()
    plan.run(f"systemctl enable -q {FABRIC_UNIT} && systemctl restart {FABRIC_UNIT}", "tie the GPUs together",
             deadline=DEADLINE)  # fmt: skip
    return plan.done(f"{FABRIC_UNIT} is {unit.active if unit else 'not there'}: CUDA would fail with error 802")


def unset(gpu: Gpu, gpus: GpuDesired) -> str | None:
    """The first thing of a GPU that is not as asked, a mode that waits for a reboot counting as set."""
    if gpus.ecc is not None and gpu.ecc_pending != ("Enabled" if gpus.ecc else "Disabled"):
        return f"ECC of GPU {gpu.index} is {gpu.ecc_pending.lower() or 'not there'}"
    if gpus.power_limit is not None and gpu.power_limit != gpus.power_limit:
        return f"the power limit of GPU {gpu.index} is {gpu.power_limit} W"
    if gpus.mig is not None and gpu.mig_pending != "Enabled":
        return f"MIG of GPU {gpu.index} is {gpu.mig_pending.lower() or 'not there'}"
    if gpus.mig is not None and gpu.mig == "Enabled" and set(gpu.mig_devices) != {gpus.mig}:
        return f"GPU {gpu.index} is cut into {', '.join(gpu.mig_devices) or 'nothing'}"
    if gpus.mig is not None and gpu.mig == "Enabled" and gpus.mig_slices not in (None, len(gpu.mig_devices)):
        return f"GPU {gpu.index} is cut into {len(gpu.mig_devices)} × {gpus.mig}, not {gpus.mig_slices}"
    return None


def apply_settings(facts: Facts, desired: HostDesired) -> Steps:
    if desired.gpu is None:
        return _take_away(facts, [])  # the next boot gives back what nobody asks a driver for any more
    if not live(facts, desired):
        return Steps("no driver runs whose GPUs could be set")
    script = script_content(desired.gpu)
    back = _back(facts.files.get(SCRIPT_PATH, ""), script or "")
    if script is None:
        return _take_away(facts, back)
    plan, why = Plan(), []
    if back:
        why.append("something that was set is no longer asked for")
        plan.run("\n".join(back), "give the GPUs back what they have by themselves", deadline=DEADLINE)
    for path, content, mode in ((SCRIPT_PATH, script, 0o755), (SETTINGS_PATH, SETTINGS, 0o644)):
        if facts.files.get(path) != content:
            why.append(f"{path} is not as wanted")
            plan.steps.append(Put(path, content, mode))
    why += [said for gpu in facts.smi.gpus if (said := unset(gpu, desired.gpu))]
    unit = facts.units.get(SETTINGS_UNIT)
    if unit is None or unit.active != "active" or unit.enabled != "enabled":
        why.append(f"{SETTINGS_UNIT} is {unit.active if unit else 'not there'}")
    if why:
        reload = f"systemctl daemon-reload && systemctl enable -q {SETTINGS_UNIT}"
        plan.run(f"{reload} && systemctl restart {SETTINGS_UNIT}", "set ECC, power and MIG", deadline=DEADLINE)
    return plan.done("; ".join(why) or "the GPUs are set as wanted")


def _take_away(facts: Facts, back: list[str]) -> Steps:
    if not any(path in facts.files for path in FILES):
        return Steps("no settings are asked of the GPUs")
    return Steps("settings of the GPUs are no longer asked for", (_gone(back),))


def _gone(back: list[str]) -> Run:
    # The unit first: what is given back after it stays given back, also when this run dies in between.
    lines = ["set -e", f"systemctl disable -q {SETTINGS_UNIT} || true", *back, f"rm -f {SETTINGS_PATH} {SCRIPT_PATH}"]
    script = "\n".join([*lines, "systemctl daemon-reload"])
    return Run(Command(script, "take the settings of the GPUs away, at boots as well", deadline=DEADLINE))


def put_back(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[Step], list[Step]]:
    """From the files after an update that failed to those before it: what the next boot is to find, and what then, once
    the driver runs, gives the GPUs what they had. Nothing where the update left them as they were."""
    if all(before.get(path) == now.get(path) for path in FILES):
        return [], []
    script = before.get(SCRIPT_PATH, "")
    back = _back(now.get(SCRIPT_PATH, ""), script)
    if not script:
        return [_gone([])], _commands(back)
    puts: list[Step] = [Put(SCRIPT_PATH, script, 0o755), Put(SETTINGS_PATH, before.get(SETTINGS_PATH, SETTINGS))]
    enable = f"systemctl daemon-reload && systemctl enable -q {SETTINGS_UNIT}"
    return puts, _commands([*back, f"{enable} && systemctl restart {SETTINGS_UNIT}"])


def _commands(lines: list[str]) -> list[Step]:
    script = "\n".join(["set -e", *lines])
    return [Run(Command(script, "give the GPUs the settings that they had", deadline=DEADLINE))] if lines else []


def unresolved(facts: Facts) -> str | None:
    """Why CDI does not resolve every GPU to the driver that runs; None when it does."""
    specs = [spec for spec in facts.cdi if _of_nvidia(spec)]
    if broken := next((spec for spec in specs if spec.broken), None):
        return f"{broken.path} cannot be read ({broken.broken})"
    if not specs:
        return "there is no CDI specification"
    names = {name for spec in specs for name in spec.devices}
    for gpu in facts.smi.gpus:
        whole = {str(gpu.index), gpu.uuid} & names
        cut = [name for name in names if name.startswith(f"{gpu.index}:")]
        if not (len(cut) == len(gpu.mig_devices) if gpu.mig_devices else whole):
            return f"CDI does not know GPU {gpu.index} as it is"
    if "all" not in names:
        return "CDI does not know the device `all`"
    old = next((spec for spec in specs if spec.driver != facts.driver.library), None)
    return f"{old.path} is of driver {old.driver or 'unknown'}" if old else None


def _of_nvidia(spec: CdiSpec) -> bool:
    return spec.kind == "nvidia.com/gpu" or (bool(spec.broken) and "nvidia" in spec.path)


def renew_cdi(facts: Facts, desired: HostDesired) -> Steps:
    if desired.gpu is None or not live(facts, desired):
        return Steps("no driver runs whose GPUs CDI could name")
    plan, why = Plan(), []
    units = [facts.units.get(name) for name in CDI_UNITS]
    if any(unit is None or unit.enabled != "enabled" or unit.active != "active" for unit in units):
        why.append("the toolkit does not renew its CDI specification by itself")
    if reason := unresolved(facts):
        why.append(reason)
    # What somebody generated by hand ages; the toolkit's own is made anew at each boot and change of the driver.
    aged = [spec.path for spec in facts.cdi if spec.path.startswith("/etc/cdi/") and _of_nvidia(spec)]
    if aged:
        why.append(f"{', '.join(aged)} was generated by hand, and is put aside")
        plan.run("\n".join(f"mv {path} {path}{SAVED}" for path in map(shlex.quote, aged)), "put it aside")
    if why:
        names = " ".join(CDI_UNITS)
        plan.run(f"systemctl enable -q {names} && systemctl restart {names}", "name the GPUs to containers",
                 deadline=DEADLINE)  # fmt: skip
    return plan.done("; ".join(why) or "CDI resolves every GPU")
