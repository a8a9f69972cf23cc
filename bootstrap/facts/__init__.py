"""What is on a host: read-only scripts and pure parsers, all of them in one round trip."""

from bootstrap.facts import containers, driver, gpus, measures, packages, runtime, system
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
    runtime.HOLD,
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
    containers.CONTAINERS,
)
"""every fact of a host, in the order in which the script asks"""

MEASURES: tuple[Fact, ...] = (
    system.SYSTEM,
    system.DISKS,
    gpus.SMI,
    gpus.PCI,
    measures.LINKS,
    measures.STATES,
    measures.CLOCK,
    measures.CPU,
    measures.DISK,
    measures.NETWORK,
)
"""what doctor asks: what a host is, and how fast"""

__all__ = ["FACTS", "MEASURES", "Fact", "Facts", "Query", "compose", "gather", "split"]
