"""Releases: named, tested sets of pins, and their locks. See `records` for the files' shape."""

from slipway.releases.locks import Resolved, check_lock, compute_lock, dump_lock, parse_lock
from slipway.releases.records import GpuStack, ImagePin, Lock, Release, Toolkit
from slipway.releases.rules import check_release
from slipway.releases.store import add_releases, is_locked, load_lock, load_release, load_releases, lock_path
from slipway.releases.wanted import GpuWish, gpu_desired

__all__ = [
    "GpuStack",
    "GpuWish",
    "ImagePin",
    "Lock",
    "Release",
    "Resolved",
    "Toolkit",
    "add_releases",
    "check_lock",
    "check_release",
    "compute_lock",
    "dump_lock",
    "gpu_desired",
    "is_locked",
    "load_lock",
    "load_release",
    "load_releases",
    "lock_path",
    "parse_lock",
]
