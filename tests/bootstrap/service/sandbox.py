"""A host in a box: this machine's shell and tools, with the folders that Slipway writes bound to a temporary one.

Scripts run as they run on a host. Only what needs a running systemd or Docker is a fake, on PATH before the real one;
the fakes keep their state in files and note each call.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.session import Command, Progress, Result, failure

BOUND = ("/etc/slipway", "/etc/systemd/system", "/var/lib/slipway", "/usr/local/lib/slipway", "/run/slipway")

SYSTEMCTL = r"""#!/bin/sh
# keeps, for each unit: NAME.active, NAME.enabled, NAME.restarts; a hook may say how a start goes
state=@STATE@/units; mkdir -p $state
verb=$1; shift
case $verb in show) ;; *) echo "$verb $*" | sed 's/ -q / /' >> @STATE@/calls ;; esac
[ "$verb" = show ] && shift 2
for unit; do
  [ "$unit" = -q ] && continue
  case $verb in
    show)
      active=$(cat $state/$unit.active 2>/dev/null || echo inactive)
      sub=running; [ "$active" = auto-restart ] && { active=activating; sub=auto-restart; }
      echo "Id=$unit"; echo "ActiveState=$active"; echo "SubState=$sub"
      [ -f /etc/systemd/system/$unit ] && echo "UnitFileState=$(cat $state/$unit.enabled 2>/dev/null || echo disabled)"
      echo "NeedDaemonReload=no"; echo "NRestarts=$(cat $state/$unit.restarts 2>/dev/null || echo 0)"
      echo "ExecMainStatus=$(cat $state/$unit.status 2>/dev/null || echo 0)"; echo "Result=success"; echo ;;
    start)
      [ -f /etc/systemd/system/$unit ] || { echo "Unit $unit not found." >&2; exit 5; }
      how=$(sed -n 's/^#fake: //p' /etc/systemd/system/$unit)
      rm -f $state/$unit.status
      case "$how" in
        refuse) echo "Job for $unit failed." >&2; exit 1 ;;
        exit*) echo auto-restart > $state/$unit.active; echo ${how#exit } > $state/$unit.status ;;
        *) echo active > $state/$unit.active ;;
      esac ;;
    stop) [ -f $state/$unit.active ] || exit 0; echo inactive > $state/$unit.active ;;
    enable) echo enabled > $state/$unit.enabled ;;
    disable) rm -f $state/$unit.enabled ;;
  esac
done
exit 0
"""

DOCKER = r"""#!/bin/sh
case "$1" in
  logs) cat @STATE@/docker-logs 2>/dev/null ;;
  image) [ -f @STATE@/no-images ] && exit 1; exit 0 ;;
  *) echo "docker $*" >> @STATE@/calls ;;
esac
exit 0
"""

SS = "#!/bin/sh\ncat @STATE@/ss-$(echo \"$6\" | sed 's/.*://') 2>/dev/null; exit 0\n"
JOURNALCTL = "#!/bin/sh\necho 'a line of the journal'\n"


@dataclass
class SandboxSession:
    """A `Session` on the box at `root`. Needs root, for its mount namespace."""

    root: Path
    name: str = "h1"
    commands: list[Command] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    before: Callable[[Command], None] | None = None
    """called before each command; what it raises is raised in place of running it"""

    def __post_init__(self) -> None:
        self.state = self.root / "state"
        tools = self.root / "bin"
        for folder in (self.state, tools, *(self.root / path.lstrip("/") for path in BOUND)):
            folder.mkdir(parents=True, exist_ok=True)
        fakes = {"systemctl": SYSTEMCTL, "docker": DOCKER, "ss": SS, "journalctl": JOURNALCTL}
        for name, text in fakes.items():
            (tools / name).write_text(text.replace("@STATE@", str(self.state)))
            (tools / name).chmod(0o755)

    def path(self, path: str) -> Path:
        """Where a path of the box lies on this machine."""
        return self.root / path.lstrip("/")

    @property
    def calls(self) -> list[str]:
        """Calls of systemctl (but `show`) and docker so far."""
        file = self.state / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def forget(self) -> None:
        """Starts counting commands and calls anew."""
        (self.state / "calls").unlink(missing_ok=True)
        self.commands.clear()

    def run(self, command: Command) -> Result:
        self.commands.append(command)
        if self.before:
            self.before(command)
        binds = " && ".join(
            f"{{ [ -d {path} ] || mkdir -p {path}; }} && mount --bind {shlex.quote(str(self.path(path)))} {path}"
            for path in BOUND
        )
        started = time.monotonic()
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{binds} && exec sh -c "$0"', command.script],
            input=command.stdin or b"",
            capture_output=True,
            timeout=command.deadline,
            check=False,
            env={**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"},
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        result = Result(done.returncode, out, err, time.monotonic() - started)
        if command.check and result.exit != 0:
            raise failure(self.name, command, result)
        return result

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        raise AssertionError("a service sends its files as one bundle")

    def upload(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> None:
        target = self.path(remote)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local, target)
        if progress:
            size = local.stat().st_size
            progress(size, size)

    def mask(self, secret: str) -> None:
        self.masked.append(secret)

    def close(self) -> None:
        pass
