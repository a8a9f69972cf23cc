"""The calls to EC2 that its resources stand for: each takes the inputs of a resource as they are on the wire, and
answers with its outputs that others need."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.support.aws_api import Answer, Api

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgCPi3uTQRfSpr0b3cT54xwFGP6cE9T2DkxLkuHQF+F"
"""in place of the mocks' word for one: the API takes keys only"""


def tags(kind: str, given: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Tags as EC2 takes them when something is made."""
    found = given.get("tags")
    pairs = [{"Key": key, "Value": value} for key, value in (found or {}).items()]
    return [{"ResourceType": kind, "Tags": pairs}] if pairs else None


def disk(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "VolumeSize": given["volumeSize"],
        "VolumeType": given["volumeType"],
        "Iops": given["iops"],
        "Throughput": given["throughput"],
        "Encrypted": as_bool(given["encrypted"]),
        "DeleteOnTermination": as_bool(given["deleteOnTermination"]),
    }


def as_bool(value: Any) -> bool:
    """Launch templates have the words."""
    return {"true": True, "false": False}[value] if isinstance(value, str) else bool(value)


def metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    options = given["metadataOptions"]
    return {
        "HttpEndpoint": options["httpEndpoint"],
        "HttpTokens": options["httpTokens"],
        "HttpPutResponseHopLimit": options["httpPutResponseHopLimit"],
    }


def rules(given: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules of a security group."""
    found = []
    for rule in given:
        about = {"Description": rule.get("description")}
        found.append(
            {
                "IpProtocol": rule["protocol"],
                "FromPort": rule["fromPort"],
                "ToPort": rule["toPort"],
                "IpRanges": [{"CidrIp": cidr, **about} for cidr in rule.get("cidrBlocks", [])],
                "Ipv6Ranges": [{"CidrIpv6": cidr, **about} for cidr in rule.get("ipv6CidrBlocks", [])],
                "UserIdGroupPairs": [{"GroupId": group, **about} for group in rule.get("securityGroups", [])],
            }
        )
    return found


def vpc(api: Api, given: Answer) -> Answer:
    made = api("ec2", "CreateVpc", CidrBlock=given["cidrBlock"], TagSpecifications=tags("vpc", given))
    identity = made["Vpc"]["VpcId"]
    api("ec2", "ModifyVpcAttribute", VpcId=identity, EnableDnsSupport={"Value": given["enableDnsSupport"]})
    api("ec2", "ModifyVpcAttribute", VpcId=identity, EnableDnsHostnames={"Value": given["enableDnsHostnames"]})
    return {"id": identity}


def internet_gateway(api: Api, given: Answer) -> Answer:
    made = api("ec2", "CreateInternetGateway", TagSpecifications=tags("internet-gateway", given))
    identity = made["InternetGateway"]["InternetGatewayId"]
    api("ec2", "AttachInternetGateway", InternetGatewayId=identity, VpcId=given["vpcId"])
    return {"id": identity}


def subnet(api: Api, given: Answer) -> Answer:
    made = api(
        "ec2", "CreateSubnet", VpcId=given["vpcId"], CidrBlock=given["cidrBlock"],
        AvailabilityZone=given["availabilityZone"], TagSpecifications=tags("subnet", given),
    )  # fmt: skip
    return {"id": made["Subnet"]["SubnetId"]}


def route_table(api: Api, given: Answer) -> Answer:
    made = api("ec2", "CreateRouteTable", VpcId=given["vpcId"], TagSpecifications=tags("route-table", given))
    identity = made["RouteTable"]["RouteTableId"]
    for route in given["routes"]:
        api(
            "ec2", "CreateRoute", RouteTableId=identity, DestinationCidrBlock=route["cidrBlock"],
            GatewayId=route.get("gatewayId"), NatGatewayId=route.get("natGatewayId"),
        )  # fmt: skip
    return {"id": identity}


def association(api: Api, given: Answer) -> Answer:
    api("ec2", "AssociateRouteTable", RouteTableId=given["routeTableId"], SubnetId=given["subnetId"])
    return {}


def eip(api: Api, given: Answer) -> Answer:
    made = api("ec2", "AllocateAddress", Domain=given["domain"], TagSpecifications=tags("elastic-ip", given))
    if "instance" in given:
        api("ec2", "AssociateAddress", AllocationId=made["AllocationId"], InstanceId=given["instance"])
    return {"allocationId": made["AllocationId"], "publicIp": made["PublicIp"]}


def nat_gateway(api: Api, given: Answer) -> Answer:
    made = api(
        "ec2", "CreateNatGateway", AllocationId=given["allocationId"], SubnetId=given["subnetId"],
        TagSpecifications=tags("natgateway", given),
    )  # fmt: skip
    return {"id": made["NatGateway"]["NatGatewayId"]}


def security_group(api: Api, given: Answer) -> Answer:
    made = api(
        "ec2", "CreateSecurityGroup", GroupName=given["name"], Description=given["description"],
        VpcId=given["vpcId"], TagSpecifications=tags("security-group", given),
    )  # fmt: skip
    (out,) = rules(given["egress"])
    assert (out["IpProtocol"], out["IpRanges"][0]["CidrIp"]) == ("-1", "0.0.0.0/0"), "as a new group has it"
    if given["ingress"]:
        api("ec2", "AuthorizeSecurityGroupIngress", GroupId=made["GroupId"], IpPermissions=rules(given["ingress"]))
    return {"id": made["GroupId"]}


def key_pair(api: Api, given: Answer) -> Answer:
    api("ec2", "ImportKeyPair", KeyName=given["keyName"], PublicKeyMaterial=PUBLIC_KEY.encode())
    return {}


def placement_group(api: Api, given: Answer) -> Answer:
    api(
        "ec2", "CreatePlacementGroup", GroupName=given["name"], Strategy=given["strategy"],
        PartitionCount=given.get("partitionCount"),
    )  # fmt: skip
    return {}


def instance(api: Api, given: Answer) -> Answer:
    market = given.get("instanceMarketOptions")
    options = market and market["spotOptions"]
    interface = {
        "DeviceIndex": 0,
        "SubnetId": given["subnetId"],
        "Groups": given["vpcSecurityGroupIds"],
        "AssociatePublicIpAddress": given["associatePublicIpAddress"],
    }
    made = api(
        "ec2",
        "RunInstances",
        ImageId=given["ami"],
        InstanceType=given["instanceType"],
        KeyName=given["keyName"],
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[interface],
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": disk(given["rootBlockDevice"])}],
        MetadataOptions=metadata(given),
        UserData=base64.b64encode(given["userData"].encode()).decode(),
        Placement={"GroupName": given["placementGroup"]} if "placementGroup" in given else None,
        InstanceMarketOptions=market
        and {
            "MarketType": market["marketType"],
            "SpotOptions": {
                "SpotInstanceType": options["spotInstanceType"],
                "InstanceInterruptionBehavior": options["instanceInterruptionBehavior"],
            },
        },
        TagSpecifications=tags("instance", given),
    )
    return {"id": made["Instances"][0]["InstanceId"]}


def volume(api: Api, given: Answer) -> Answer:
    made = api(
        "ec2", "CreateVolume", AvailabilityZone=given["availabilityZone"], Size=given["size"],
        VolumeType=given["type"], Encrypted=given["encrypted"], Iops=given["iops"], Throughput=given["throughput"],
        TagSpecifications=tags("volume", given),
    )  # fmt: skip
    return {"id": made["VolumeId"]}


def volume_attachment(api: Api, given: Answer) -> Answer:
    api(
        "ec2", "AttachVolume", Device=given["deviceName"], InstanceId=given["instanceId"], VolumeId=given["volumeId"]
    )  # fmt: skip
    return {}


def launch_template(api: Api, given: Answer) -> Answer:
    (mapping,) = given["blockDeviceMappings"]
    data = {
        "BlockDeviceMappings": [{"DeviceName": mapping["deviceName"], "Ebs": disk(mapping["ebs"])}],
        "MetadataOptions": metadata(given),
        "TagSpecifications": [
            {"ResourceType": one["resourceType"], "Tags": [{"Key": k, "Value": v} for k, v in one["tags"].items()]}
            for one in given["tagSpecifications"]
        ],
    }
    made = api("ec2", "CreateLaunchTemplate", LaunchTemplateName=given["name"], LaunchTemplateData=data)
    return {"id": made["LaunchTemplate"]["LaunchTemplateId"]}


def vpc_endpoint(api: Api, given: Answer) -> Answer:
    api(
        "ec2", "CreateVpcEndpoint", VpcId=given["vpcId"], ServiceName=given["serviceName"],
        VpcEndpointType=given["vpcEndpointType"], RouteTableIds=given["routeTableIds"],
        TagSpecifications=tags("vpc-endpoint", given),
    )  # fmt: skip
    return {}
