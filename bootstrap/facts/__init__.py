"""What is on a host: read-only scripts and pure parsers, all of them in one round trip."""

from bootstrap.facts import driver, gpus, packages, runtime, system
from bootstrap.facts.fact import Fact, Query, compose, gather, split
from bootstrap.facts.model import Facts

FACTS: tuple[Fact, ...] = (
    system.SYSTEM,
    packages.PACKAGES,
    packages.CANDIDATES,
    packages.LOCKS,
    runtime.DOCKER,
    runtime.UNITS,
    runtime.FILES,
    runtime.RECEIPT,
    system.DISKS,
    system.PORTS,
    system.USERS,
    driver.DRIVER,
    gpus.SMI,
    gpus.PCI,
    gpus.XIDS,
    driver.BOOT,
    driver.ARCHIVES,
    driver.CDI,
)
"""every fact of a host, in the order in which the script asks"""

__all__ = ["FACTS", "Fact", "Facts", "Query", "compose", "gather", "split"]
