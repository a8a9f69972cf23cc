"""The resources of the provider. Each module imports what does the work only when there is work to do."""

from __future__ import annotations

from bootstrap.plugin.resource import Resource
from bootstrap.plugin.resources.certificate import Certificate
from bootstrap.plugin.resources.cluster import Cluster
from bootstrap.plugin.resources.gate import Gate
from bootstrap.plugin.resources.host import Host
from bootstrap.plugin.resources.host_key import HostKey
from bootstrap.plugin.resources.machine import Machine
from bootstrap.plugin.resources.service import Service
from bootstrap.plugin.resources.stack_keys import StackKeys

RESOURCES: tuple[Resource, ...] = (
    StackKeys(), HostKey(), Certificate(), Machine(), Host(), Service(), Gate(), Cluster(),
)  # fmt: skip
