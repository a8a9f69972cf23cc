// STUB of NVIDIA's device plugin: tells the kubelet of as many nvidia.com/gpu as it is told, without any GPU.
//
// SIGUSR1 turns all of them unhealthy, and healthy again.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "slipway-stub.sock"

type plugin struct {
	api.UnimplementedDevicePluginServer
	count  int
	change chan os.Signal
}

func (p *plugin) devices(health string) *api.ListAndWatchResponse {
	answer := &api.ListAndWatchResponse{}
	for index := range p.count {
		answer.Devices = append(answer.Devices, &api.Device{ID: fmt.Sprintf("GPU-stub-%d", index), Health: health})
	}
	return answer
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	health := api.Healthy
	for {
		if err := stream.Send(p.devices(health)); err != nil {
			return err
		}
		select {
		case <-p.change:
			if health == api.Healthy {
				health = api.Unhealthy
			} else {
				health = api.Healthy
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		visible := map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")}
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{Envs: visible})
	}
	return answer, nil
}

func main() {
	folder := flag.String("folder", "/var/lib/kubelet/device-plugins", "where the kubelet listens")
	count := flag.Int("count", 8, "how many GPUs")
	flag.Parse()
	path := filepath.Join(*folder, socket)
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	stub := &plugin{count: *count, change: make(chan os.Signal, 1)}
	signal.Notify(stub.change, syscall.SIGUSR1)
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, stub)
	go func() { log.Fatal(server.Serve(listener)) }()
	kubelet := "unix://" + filepath.Join(*folder, "kubelet.sock")
	connection, err := grpc.NewClient(kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: "nvidia.com/gpu"}
	if _, err := api.NewRegistrationClient(connection).Register(context.Background(), request); err != nil {
		log.Fatal(err)
	}
	log.Printf("registered %d × nvidia.com/gpu", *count)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
