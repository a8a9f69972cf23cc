"""What AWS's resources answer under Pulumi's mocks: ids and outputs of the documented shape, by their names."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

ACCOUNT = "123456789012"
"""the account of AWS's own examples"""

IDS = {
    "ec2/vpc:Vpc": "vpc",
    "ec2/subnet:Subnet": "subnet",
    "ec2/internetGateway:InternetGateway": "igw",
    "ec2/natGateway:NatGateway": "nat",
    "ec2/routeTable:RouteTable": "rtb",
    "ec2/routeTableAssociation:RouteTableAssociation": "rtbassoc",
    "ec2/securityGroup:SecurityGroup": "sg",
    "ec2/instance:Instance": "i",
    "ec2/eip:Eip": "eipalloc",
    "ec2/launchTemplate:LaunchTemplate": "lt",
    "ebs/volume:Volume": "vol",
}
"""prefixes of ids; what is not here has its name for one"""


def answer(type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id of a resource, and its outputs that are not among its inputs."""
    kind = type_.removeprefix("aws:")
    number = zlib.crc32(f"{type_} {name}".encode())
    identity = f"{IDS[kind]}-0{number:016x}" if kind in IDS else str(inputs.get("name", name))
    service, last = kind.split("/", 1)[0], kind.rsplit(":", 1)[-1]
    region = "" if service == "iam" else "eu-north-1"
    arn = f"arn:aws:{service}:{region}:{ACCOUNT}:{last.lower()}/{name}"
    more: dict[str, Any] = {"arn": arn}
    if kind == "ec2/instance:Instance":
        more |= {"publicIp": f"192.0.2.{number % 250}", "privateIp": f"10.77.0.{number % 250}"}
    elif kind == "ec2/eip:Eip":
        more |= {"publicIp": f"198.51.100.{number % 250}", "allocationId": identity}
    elif kind == "ec2/launchTemplate:LaunchTemplate":
        more |= {"latestVersion": 1}
    elif kind == "lb/loadBalancer:LoadBalancer":
        more |= {"dnsName": f"{inputs.get('name')}.elb.example"}
        identity = arn
    elif kind == "lb/targetGroup:TargetGroup":
        identity = arn
    elif kind == "eks/cluster:Cluster":
        more |= {
            "endpoint": "https://0123456789ABCDEF.gr7.eu-north-1.eks.example",
            "certificateAuthority": {"data": "Q0E="},
        }
    elif kind == "iam/accessKey:AccessKey":
        identity = f"AKIA{number:016d}"
        more |= {"secret": f"SECRET-{name}-secret"}
    return identity, more
