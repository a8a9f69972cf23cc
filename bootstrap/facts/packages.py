"""Facts about packages: what dpkg has, what apt could have, who holds their locks."""

from __future__ import annotations

from typing import Any

from bootstrap.facts.fact import Fact


def _parse_packages(text: str) -> dict[str, Any]:
    journal, _, listing = text.partition("\n")
    packages = {}
    for line in listing.splitlines():
        name, version, state = line.split("\t")
        # Three letters (dpkg-query(1)): selection, status, error. A removed package has only its conffiles left.
        if state[1] not in "nc":
            status = "ii" if state[1:].strip() == "i" else state.strip()
            packages[name] = {"version": version, "status": status, "hold": state[0] == "h"}
    return {"dpkg_journal": int(journal), "packages": packages}


PACKAGES = Fact(
    "packages",
    'set -- /var/lib/dpkg/updates/*; [ -e "$1" ] && echo $# || echo 0; printf "%s\\n" "$PACKAGES"',
    _parse_packages,
)


def _parse_candidates(text: str) -> dict[str, Any]:
    candidates: dict[str, list[str]] = {}
    moves: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("wanted "):
            candidates[line.split()[1]] = []
        elif line.startswith("moved "):
            # Our two words, then a line of dpkg's log: date, time, "status", the status, name:arch, version.
            words = line.split()
            if len(words) >= 8:
                moves[words[1]] = {"at": f"{words[2]}T{words[3]}", "version": words[7]}
        elif line.count("|") == 2:
            name, version, _ = (part.strip() for part in line.split("|"))
            if version not in candidates.setdefault(name, []):
                candidates[name].append(version)
    return {"candidates": candidates, "moves": moves}


# apt-cache reads its whole cache (0.3 s and more), so it is asked only about what is not as wanted.
CANDIDATES = Fact(
    "candidates",
    r"""off=
while IFS=$TAB read -r name version; do
  [ -n "$name" ] || continue
  case "$NL$PACKAGES$NL" in
    *"$NL$name$TAB$version$TAB"[ih]"i"*) ;;
    *) off="$off $name"; echo "wanted $name"
       echo "moved $name $(grep -hF -e " status installed $name:" -e " status config-files $name:" \
         -e " status not-installed $name:" /var/log/dpkg.log.1 /var/log/dpkg.log 2>/dev/null | tail -n 1)" ;;
  esac
done <<END
$WANTED
END
[ -z "$off" ] || apt-cache madison $off""",
    _parse_candidates,
)


def _parse_locks(text: str) -> dict[str, Any]:
    locks = []
    for line in text.splitlines():
        path, pid, process = [*line.split(" ", 2), ""][:3]
        locks.append({"path": path, "pid": int(pid), "process": process})
    return {"locks": locks}


# /proc/locks names the inode; apt and dpkg take POSIX locks. A lock taken outside our PID namespace shows as 0.
LOCKS = Fact(
    "locks",
    r"""stat -c '%i %n' /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock \
  /var/cache/apt/archives/lock 2>/dev/null |
awk 'NR == FNR { name[$1] = $2; next }
     $2 != "->" { n = split($6, id, ":"); if (id[n] in name) print name[id[n]], $5 }' \
  - /proc/locks |
while read -r path pid; do echo "$path $pid $(cat "/proc/$pid/comm" 2>/dev/null)"; done""",
    _parse_locks,
)
