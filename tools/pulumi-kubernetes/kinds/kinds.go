// Package v2 stands in for a file of the same name in Pulumi's Go SDK for Kubernetes, which has a case for each kind and
// with it imports all that the SDK has, half an hour of compiling on a small machine. The plugin only needs to register
// what it reads from YAML and charts, for which a kind's name is enough. tools/kubernetes.py puts it there.
package v2

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// IsListKind tells whether it is a list of objects of Kubernetes' own.
func IsListKind(apiVersion, kind string) bool {
	group, _, named := strings.Cut(apiVersion, "/")
	own := !named || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
	return own && strings.HasSuffix(kind, "List")
}

// RegisterResource registers an object under the token that Pulumi has for its kind.
func RegisterResource(
	ctx *pulumi.Context, apiVersion, kind, name string, props pulumi.Input, opts ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	if !strings.Contains(apiVersion, "/") {
		apiVersion = "core/" + apiVersion
	}
	made := &pulumi.CustomResourceState{}
	if err := ctx.RegisterResource(fmt.Sprintf("kubernetes:%s:%s", apiVersion, kind), name, props, made, opts...); err != nil {
		return nil, err
	}
	return made, nil
}
