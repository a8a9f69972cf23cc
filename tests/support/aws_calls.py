"""What a graph of AWS's resources stands for, asked of AWS's API: the calls that each resource is documented to make.

pulumi-aws makes these; that it makes them so is read in its documentation, and not tested here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.support import aws_ec2_calls as ec2
from tests.support import mock_aws
from tests.support.aws_api import Answer, Api
from tests.support.mocks import Graph
from tests.support.sdk import in_the_clear


def ask(api: Api, graph: Graph) -> None:
    """Everything that the graph wants of AWS, in the order in which it was asked for."""
    for asked in graph.resources:
        if not asked.type.startswith("aws:"):
            continue
        identity, outputs = mock_aws.answer(asked.type, asked.name, asked.inputs)
        made = CALLS[asked.type.removeprefix("aws:")](api, in_the_clear(api.translated(asked.inputs)))
        for name, value in made.items():
            api.known[identity if name == "id" else outputs[name]] = value


def load_balancer(api: Api, given: Answer) -> Answer:
    mappings = [
        {"SubnetId": one["subnetId"], "AllocationId": one["allocationId"]} for one in given.get("subnetMappings", [])
    ]
    made = api(
        "elbv2", "CreateLoadBalancer", Name=given["name"], Type=given["loadBalancerType"],
        Scheme="internal" if given["internal"] else "internet-facing", IpAddressType=given["ipAddressType"],
        SecurityGroups=given["securityGroups"], Subnets=given.get("subnets"), SubnetMappings=mappings or None,
    )  # fmt: skip
    return {"arn": made["LoadBalancers"][0]["LoadBalancerArn"]}


def target_group(api: Api, given: Answer) -> Answer:
    check, (state,) = given["healthCheck"], given["targetHealthStates"]
    made = api(
        "elbv2",
        "CreateTargetGroup",
        Name=given["name"],
        Protocol=given["protocol"],
        Port=given["port"],
        VpcId=given["vpcId"],
        TargetType=given["targetType"],
        HealthCheckProtocol=check["protocol"],
        HealthCheckPath=check["path"],
        HealthCheckIntervalSeconds=check["interval"],
        HealthCheckTimeoutSeconds=check["timeout"],
        HealthyThresholdCount=check["healthyThreshold"],
        UnhealthyThresholdCount=check["unhealthyThreshold"],
        Matcher={"HttpCode": check["matcher"]},
    )
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    attributes = {
        "deregistration_delay.timeout_seconds": str(given["deregistrationDelay"]),
        "target_health_state.unhealthy.connection_termination.enabled": str(
            state["enableUnhealthyConnectionTermination"]
        ).lower(),
        "target_health_state.unhealthy.draining_interval_seconds": str(state["unhealthyDrainingInterval"]),
    }
    api("elbv2", "ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=pairs(attributes))
    return {"arn": arn}


def listener(api: Api, given: Answer) -> Answer:
    (action,) = given["defaultActions"]
    made = api(
        "elbv2", "CreateListener", LoadBalancerArn=given["loadBalancerArn"], Protocol=given["protocol"],
        Port=given["port"], DefaultActions=[{"Type": action["type"], "TargetGroupArn": action["targetGroupArn"]}],
    )  # fmt: skip
    arn = made["Listeners"][0]["ListenerArn"]
    idle = {"tcp.idle_timeout.seconds": str(given["tcpIdleTimeoutSeconds"])}
    api("elbv2", "ModifyListenerAttributes", ListenerArn=arn, Attributes=pairs(idle))
    return {}


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def target(api: Api, given: Answer) -> Answer:
    targets = [{"Id": given["targetId"], "Port": given["port"]}]
    api("elbv2", "RegisterTargets", TargetGroupArn=given["targetGroupArn"], Targets=targets)
    return {}


def role(api: Api, given: Answer) -> Answer:
    made = api("iam", "CreateRole", RoleName=given["name"], AssumeRolePolicyDocument=given["assumeRolePolicy"])
    return {"arn": made["Role"]["Arn"]}


def role_policy(api: Api, given: Answer) -> Answer:
    api("iam", "AttachRolePolicy", RoleName=given["role"], PolicyArn=given["policyArn"])
    return {}


def user(api: Api, given: Answer) -> Answer:
    api("iam", "CreateUser", UserName=given["name"])
    return {}


def user_policy(api: Api, given: Answer) -> Answer:
    api("iam", "PutUserPolicy", UserName=given["user"], PolicyName="slipway", PolicyDocument=given["policy"])
    return {}


def access_key(api: Api, given: Answer) -> Answer:
    made = api("iam", "CreateAccessKey", UserName=given["user"])["AccessKey"]
    return {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def bucket(api: Api, given: Answer) -> Answer:
    place = {"LocationConstraint": api.region}
    api("s3", "CreateBucket", Bucket=given["bucket"], CreateBucketConfiguration=place)
    return {"id": given["bucket"]}


def public_access(api: Api, given: Answer) -> Answer:
    closed = {
        "BlockPublicAcls": given["blockPublicAcls"],
        "IgnorePublicAcls": given["ignorePublicAcls"],
        "BlockPublicPolicy": given["blockPublicPolicy"],
        "RestrictPublicBuckets": given["restrictPublicBuckets"],
    }
    api("s3", "PutPublicAccessBlock", Bucket=given["bucket"], PublicAccessBlockConfiguration=closed)
    return {}


def cluster(api: Api, given: Answer) -> Answer:
    network, access = given["vpcConfig"], given["accessConfig"]
    api(
        "eks",
        "CreateCluster",
        name=given["name"],
        version=given["version"],
        roleArn=given["roleArn"],
        resourcesVpcConfig={
            "subnetIds": network["subnetIds"],
            "securityGroupIds": network["securityGroupIds"],
            "endpointPrivateAccess": network["endpointPrivateAccess"],
            "endpointPublicAccess": network["endpointPublicAccess"],
            "publicAccessCidrs": network.get("publicAccessCidrs"),
        },
        accessConfig={
            "authenticationMode": access["authenticationMode"],
            "bootstrapClusterCreatorAdminPermissions": access["bootstrapClusterCreatorAdminPermissions"],
        },
        upgradePolicy={"supportType": given["upgradePolicy"]["supportType"]},
    )
    return {}


def node_group(api: Api, given: Answer) -> Answer:
    scaling = given["scalingConfig"]
    api(
        "eks",
        "CreateNodegroup",
        clusterName=given["clusterName"],
        nodegroupName=given["nodeGroupName"],
        nodeRole=given["nodeRoleArn"],
        subnets=given["subnetIds"],
        instanceTypes=given["instanceTypes"],
        amiType=given["amiType"],
        capacityType=given["capacityType"],
        version=given["version"],
        releaseVersion=given.get("releaseVersion"),
        scalingConfig={
            "minSize": scaling["minSize"],
            "maxSize": scaling["maxSize"],
            "desiredSize": scaling["desiredSize"],
        },
        updateConfig={"maxUnavailable": given["updateConfig"]["maxUnavailable"]},
        launchTemplate={"id": given["launchTemplate"]["id"], "version": given["launchTemplate"]["version"]},
        labels=given.get("labels"),
        taints=given.get("taints"),
        tags=given["tags"],
    )
    return {}


CALLS: dict[str, Callable[[Api, Answer], Answer]] = {
    "ebs/volume:Volume": ec2.volume,
    "ec2/eip:Eip": ec2.eip,
    "ec2/instance:Instance": ec2.instance,
    "ec2/internetGateway:InternetGateway": ec2.internet_gateway,
    "ec2/keyPair:KeyPair": ec2.key_pair,
    "ec2/launchTemplate:LaunchTemplate": ec2.launch_template,
    "ec2/natGateway:NatGateway": ec2.nat_gateway,
    "ec2/placementGroup:PlacementGroup": ec2.placement_group,
    "ec2/routeTable:RouteTable": ec2.route_table,
    "ec2/routeTableAssociation:RouteTableAssociation": ec2.association,
    "ec2/securityGroup:SecurityGroup": ec2.security_group,
    "ec2/subnet:Subnet": ec2.subnet,
    "ec2/volumeAttachment:VolumeAttachment": ec2.volume_attachment,
    "ec2/vpc:Vpc": ec2.vpc,
    "ec2/vpcEndpoint:VpcEndpoint": ec2.vpc_endpoint,
    "eks/cluster:Cluster": cluster,
    "eks/nodeGroup:NodeGroup": node_group,
    "iam/accessKey:AccessKey": access_key,
    "iam/role:Role": role,
    "iam/rolePolicyAttachment:RolePolicyAttachment": role_policy,
    "iam/user:User": user,
    "iam/userPolicy:UserPolicy": user_policy,
    "lb/listener:Listener": listener,
    "lb/loadBalancer:LoadBalancer": load_balancer,
    "lb/targetGroup:TargetGroup": target_group,
    "lb/targetGroupAttachment:TargetGroupAttachment": target,
    "s3/bucket:Bucket": bucket,
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock": public_access,
}
"""the calls of each kind of resource, which answer with its outputs that others need"""
