"""What the commands need done outside the core. Every member may raise `SlipwayError`; those on files `OSError` too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from slipway.cli.status import HostStatus
    from slipway.desired import Connection
    from slipway.doctor.cluster import ClusterAnswers, ClusterWanted
    from slipway.doctor.computer import ComputerAnswers
    from slipway.doctor.hosts import Unmeasured
    from slipway.doctor.market import CloudAnswers, CloudWanted
    from slipway.doctor.measured import HostMeasured
    from slipway.doctor.types import Made, NoAnswer
    from slipway.plan import BuiltImage
    from slipway.releases import Lock, Release, Resolved


@dataclass(frozen=True)
class Doctor:
    """What `slipway doctor` asks, all of it read-only. What gives no answer is a value, not an error."""

    made: Callable[[str], Made | NoAnswer]
    """what is in a stack's state"""
    private_key: Callable[[str], str | NoAnswer]
    """what opens the hosts of a stack that are there before it"""
    measure: Callable[[Sequence[Connection], str, bool, Callable[[str], None]], tuple[HostMeasured | Unmeasured, ...]]
    """hosts, the model's file on them, whether they should have GPUs, and who hears how far it is"""
    cloud: Callable[[CloudWanted], CloudAnswers]
    computer: Callable[[], ComputerAnswers]
    cluster: Callable[[ClusterWanted], ClusterAnswers]


@dataclass(frozen=True)
class Effects:
    """Callables only, so that a test passes lambdas."""

    read_text: Callable[[str], str]
    """the text of a file"""
    write_text: Callable[[str, str], None]
    """write a file, and make the folders above it"""
    resolve_packages: Callable[[Release, tuple[str, ...], str], Resolved]
    """everything that apt would install for a release on its bare OS; from sources (`deb` lines or deb822) and with a
    key (text) in place of those of NVIDIA's archive, where they are given"""
    write_bundle: Callable[[Release, Lock, str], int]
    """write everything that a lock names into one file, for places without network; how many packages"""
    image_digests: Callable[[], Mapping[str, str]]
    """{image: digest} of built images to pin in a lock; empty pins none"""
    built_images: Callable[[], Mapping[str, BuiltImage]]
    """images built on this computer, by the name of their recipe"""
    templates: Callable[[str], Mapping[str, str]]
    """texts of a template folder, `host` or `cluster`, as `slipway.render.load_templates` returns them"""
    read_start: Callable[[str, int], tuple[bytes, int]]
    """the first bytes of a file, at most so many, and its size in all"""
    host_statuses: Callable[[str, float | None], Iterable[Sequence[HostStatus]]]
    """how every host of a stack stands, asked on the hosts; once, or each so many seconds for ever"""
    list_folder: Callable[[str], tuple[str, ...]]
    """names in a folder; raises `NotADirectoryError` for a file"""
    now: Callable[[], datetime]
    """the time, aware of its zone"""
    doctor: Callable[[], Doctor]
    """made when it is asked for, as it imports what it asks with"""
