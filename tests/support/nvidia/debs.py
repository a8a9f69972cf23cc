"""Debian packages and flat apt repositories, written without Debian's tools. The same input gives the same bytes.

A `.deb` is an `ar` archive of `debian-binary`, `control.tar.gz` and `data.tar.gz`: deb(5). A flat repository is a
folder with packages, `Packages`, `Release` and its signatures: https://wiki.debian.org/DebianRepository/Format
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EPOCH = 1_700_000_000
"""seconds; the one time stamp in every package"""


@dataclass(frozen=True)
class File:
    """A file of a package, or a symbolic link when `link` is set."""

    content: str = ""
    mode: int = 0o644
    link: str | None = None


@dataclass(frozen=True)
class Deb:
    """A package: its control fields, files by absolute path, and maintainer scripts by name ("postinst")."""

    name: str
    version: str
    description: str
    files: Mapping[str, File] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    """Depends, Conflicts, …"""
    architecture: str = "amd64"
    conffiles: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """As archives call it: an epoch is not part of it."""
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.architecture}.deb"

    def control(self) -> dict[str, str]:
        """The fields in the order in which they are written."""
        return {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Slipway's tests <stub@slipway.invalid>",
            "Installed-Size": "1",
            **self.fields,
            "Section": "misc",
            "Priority": "optional",
            "Description": f"STUB of Slipway's tests: {self.description}",
        }

    def content(self) -> bytes:
        """The package file."""
        members = {"./control": (_paragraph(self.control()).encode(), 0o644)}
        members |= {f"./{name}": (script.encode(), 0o755) for name, script in self.scripts.items()}
        if self.conffiles:
            members["./conffiles"] = ("".join(f"{path}\n" for path in self.conffiles).encode(), 0o644)
        control = _tar({name: File(data.decode(), mode) for name, (data, mode) in members.items()})
        data = _tar({f".{path}": file for path, file in sorted(self.files.items())})
        return _ar({"debian-binary": b"2.0\n", "control.tar.gz": control, "data.tar.gz": data})


def packages_index(debs: Iterable[Deb]) -> tuple[str, dict[str, bytes]]:
    """The text of `Packages` of a flat repository, and the package files by name."""
    paragraphs, files = [], {}
    for deb in sorted(debs, key=lambda deb: (deb.name, deb.version)):
        content = files[deb.filename] = deb.content()
        where = {
            "Filename": f"./{deb.filename}",
            "Size": str(len(content)),
            "SHA256": hashlib.sha256(content).hexdigest(),
        }
        paragraphs.append(_paragraph({**deb.control(), **where}))
    return "\n".join(paragraphs), files


def release(origin: str, label: str, files: Mapping[str, bytes]) -> str:
    """The text of `Release` over the index files."""
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in sorted(files.items())]
    head = {"Origin": origin, "Label": label, "Architecture": "amd64", "Date": "Tue, 14 Nov 2023 22:13:20 UTC"}
    return _paragraph(head) + "SHA256:\n" + "\n".join(lines) + "\n"


def compressed(data: bytes) -> bytes:
    """gzip, without a time stamp."""
    return gzip.compress(data, 6, mtime=0)


def _paragraph(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _tar(files: Mapping[str, File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        made: set[str] = set()
        for path, file in files.items():
            parts = path.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                if folder not in made:
                    made.add(folder)
                    archive.addfile(_member(folder, 0o755, tarfile.DIRTYPE))
            if file.link is not None:
                member = _member(path, 0o777, tarfile.SYMTYPE)
                member.linkname = file.link
                archive.addfile(member)
                continue
            data = file.content.encode()
            member = _member(path, file.mode, tarfile.REGTYPE)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return compressed(buffer.getvalue())


def _member(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.type, member.mtime = mode, kind, EPOCH
    member.uname = member.gname = "root"
    return member


def _ar(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(f"{name:<16}{EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)
