// pulumi-language-python runs Pulumi programs and plugins written in Python.
//
// It is a small stand-in for the official language host, which is no module that Go's proxy serves. It is built on the
// published SDK only, and knows what this project needs: the toolchains pip (with a virtual environment) and uv. The
// CLI starts it, reads the port that it prints, and talks to it over gRPC.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// bailExitCode is how a program says that it has already shown the user what is wrong (pulumi-language-python-exec).
const bailExitCode = 32

// endGrace is how long a program may take to end after it was asked to, before it is killed.
const endGrace = 5 * time.Second

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	engine string // address of the engine's gRPC server
	exec   string // path of pulumi-language-python-exec
	ctx    context.Context
	cancel context.CancelFunc
}

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "--version" || os.Args[1] == "-version") {
		fmt.Println(version.Version)
		return
	}
	self, err := os.Executable()
	exitOn(err)
	interrupted, stopListening := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{exec: filepath.Join(filepath.Dir(self), "pulumi-language-python-exec"), ctx: ctx, cancel: cancel}
	for _, arg := range os.Args[1:] {
		if arg != "" && arg[0] != '-' {
			h.engine = arg
		}
	}
	if h.engine != "" { // end when the engine does
		exitOn(rpcutil.Healthcheck(interrupted, h.engine, 5*time.Minute, stopListening))
	}
	done := make(chan bool)
	go func() { <-interrupted.Done(); close(done) }()
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Cancel: done, Init: func(s *grpc.Server) error {
		pulumirpc.RegisterLanguageRuntimeServer(s, h)
		return nil
	}})
	exitOn(err)
	fmt.Printf("%d\n", handle.Port)
	exitOn(<-handle.Done)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (h *host) Handshake(
	_ context.Context, r *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.engine = r.EngineAddress
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.cancel()
	return &emptypb.Empty{}, nil
}

// scan prints the resource plugins that the installed Python packages name in their pulumi-plugin.json.
const scan = `import json, importlib.metadata as metadata
found = []
for dist in metadata.distributions():
    for file in dist.files or []:
        if file.name == "pulumi-plugin.json":
            plugin = json.loads(dist.locate_file(file).read_text())
            if plugin.get("resource"):
                name = plugin.get("name") or dist.metadata["Name"].removeprefix("pulumi-").removeprefix("pulumi_")
                version = "v" + (plugin.get("version") or dist.version).lstrip("v")
                found.append({"name": name, "version": version, "server": plugin.get("server", "")})
print(json.dumps(found))`

func (h *host) GetRequiredPackages(
	ctx context.Context, r *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	tc, err := resolve(ctx, r.Info)
	if err != nil {
		return nil, err
	}
	cmd, err := tc.Command(ctx, "-c", scan)
	if err != nil {
		return nil, err
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing Pulumi packages: %w", err)
	}
	var plugins []struct{ Name, Version, Server string }
	if err := json.Unmarshal(out, &plugins); err != nil {
		return nil, err
	}
	resp := &pulumirpc.GetRequiredPackagesResponse{}
	for _, p := range plugins {
		resp.Packages = append(resp.Packages,
			&pulumirpc.PackageDependency{Kind: "resource", Name: p.Name, Version: p.Version, Server: p.Server})
	}
	return resp, nil
}

func (h *host) Run(ctx context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	tc, err := resolve(ctx, r.Info)
	if err != nil {
		return nil, err
	}
	args := []string{h.exec}
	for _, flag := range [][2]string{
		{"monitor", r.MonitorAddress},
		{"engine", h.engine},
		{"project", r.Project},
		{"root_directory", r.Info.RootDirectory},
		{"stack", r.Stack},
		{"pwd", r.Pwd},
		{"dry_run", strconv.FormatBool(r.DryRun)},
		{"parallel", strconv.Itoa(int(r.Parallel))},
		{"organization", r.Organization},
	} {
		if flag[1] != "" {
			args = append(args, "--"+flag[0], flag[1])
		}
	}
	args = append(append(args, r.Info.EntryPoint), r.Args...)

	runCtx, stop := context.WithCancel(h.ctx)
	defer stop()
	context.AfterFunc(ctx, stop)
	cmd, err := tc.Command(runCtx, args...)
	if err != nil {
		return nil, err
	}
	// Not an interrupt: Python would print a KeyboardInterrupt's traceback beside every resource that failed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endGrace
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	// The environment and not the arguments: configuration may hold secrets, and anyone can read a command line.
	if err := addJSON(cmd, "PULUMI_CONFIG", r.Config, r.Config != nil); err != nil {
		return nil, err
	}
	if err := addJSON(cmd, "PULUMI_CONFIG_SECRET_KEYS", r.ConfigSecretKeys, r.ConfigSecretKeys != nil); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == bailExitCode:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case errors.As(err, &exit):
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("program exited with non-zero exit code: %d", exit.ExitCode())}, nil
	default:
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
}

func (h *host) InstallDependencies(
	r *pulumirpc.InstallDependenciesRequest, s pulumirpc.LanguageRuntime_InstallDependenciesServer,
) error {
	closer, stdout, stderr, err := rpcutil.MakeInstallDependenciesStreams(s, r.IsTerminal)
	if err != nil {
		return err
	}
	defer closer.Close()
	tc, err := toolchainFor(r.Info, r.IsPlugin)
	if err != nil {
		return err
	}
	if err := tc.InstallDependencies(s.Context(), r.Info.ProgramDirectory, false, true, stdout, stderr); err != nil {
		return err
	}
	return closer.Close()
}

func (h *host) RunPlugin(r *pulumirpc.RunPluginRequest, s pulumirpc.LanguageRuntime_RunPluginServer) error {
	tc, err := toolchainFor(r.Info, true)
	if err != nil {
		return err
	}
	cmd, err := tc.Command(s.Context(), append([]string{"-u", r.Info.ProgramDirectory}, r.Args...)...)
	if err != nil {
		return err
	}
	closer, stdout, stderr, err := rpcutil.MakeRunPluginStreams(s, false)
	if err != nil {
		return err
	}
	defer closer.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.Pwd, stdout, stderr
	cmd.Env = append(cmd.Env, r.Env...)
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return s.Send(&pulumirpc.RunPluginResponse{
				Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(exit.ExitCode())},
			})
		}
		return err
	}
	return closer.Close()
}

func (h *host) GetProgramDependencies(
	ctx context.Context, r *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	tc, err := toolchainFor(r.Info, false)
	if err != nil {
		return nil, err
	}
	packages, err := tc.ListPackages(ctx, r.TransitiveDependencies)
	if err != nil {
		return nil, err
	}
	resp := &pulumirpc.GetProgramDependenciesResponse{}
	for _, p := range packages {
		resp.Dependencies = append(resp.Dependencies, &pulumirpc.DependencyInfo{Name: p.Name, Version: p.Version})
	}
	return resp, nil
}

// resolve returns the toolchain of a program whose virtual environment must be there already.
func resolve(ctx context.Context, info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	tc, err := toolchainFor(info, false)
	if err != nil {
		return nil, err
	}
	return tc, tc.ValidateVenv(ctx)
}

// toolchainFor reads `toolchain` and `virtualenv` from runtime.options in Pulumi.yaml (PulumiPlugin.yaml for a plugin).
func toolchainFor(info *pulumirpc.ProgramInfo, plugin bool) (toolchain.Toolchain, error) {
	options := toolchain.PythonOptions{
		Root: info.RootDirectory, ProgramDir: info.ProgramDirectory, Toolchain: toolchain.Pip,
	}
	said := info.Options.AsMap()
	options.Virtualenv, _ = said["virtualenv"].(string)
	switch said["toolchain"] {
	case "uv":
		options.Toolchain = toolchain.Uv
	case nil, "", "pip":
	default:
		return nil, fmt.Errorf("runtime.options.toolchain: %v is not supported by this language host; use pip or uv, "+
			"or install the official Pulumi CLI", said["toolchain"])
	}
	if plugin && options.Toolchain == toolchain.Pip && options.Virtualenv == "" {
		options.Virtualenv = "venv"
	}
	return toolchain.ResolveToolchain(options)
}

// addJSON adds a variable with a JSON value to the environment of a command.
func addJSON(cmd *exec.Cmd, name string, value any, present bool) error {
	if !present {
		return nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, name+"="+string(data))
	return nil
}
