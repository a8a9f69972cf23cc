"""The provider protocol's generated messages, without the rest of the Pulumi SDK.

`import pulumi` loads the automation API and every runtime module, which takes three times as long as all else that a
provider needs to start, and Pulumi starts a provider on every command. The generated modules stand on their own, so
they are loaded from the SDK's folder under a package name of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc
else:
    _PACKAGE = "bootstrap.plugin._pulumi_proto"

    def _load(name: str) -> types.ModuleType:
        if _PACKAGE not in sys.modules:
            spec = importlib.util.find_spec("pulumi")
            if spec is None or spec.origin is None:
                raise ImportError("the Pulumi SDK is not installed; run `make install`")
            package = types.ModuleType(_PACKAGE)
            package.__path__ = [str(Path(spec.origin).parent / "runtime" / "proto")]
            sys.modules[_PACKAGE] = package
        return importlib.import_module(f"{_PACKAGE}.{name}")

    engine_pb2 = _load("engine_pb2")
    engine_pb2_grpc = _load("engine_pb2_grpc")
    plugin_pb2 = _load("plugin_pb2")
    provider_pb2 = _load("provider_pb2")
    provider_pb2_grpc = _load("provider_pb2_grpc")

__all__ = ["engine_pb2", "engine_pb2_grpc", "plugin_pb2", "provider_pb2", "provider_pb2_grpc"]

# Marks inside a struct, from the SDK's `pulumi.runtime.rpc` (a test compares them).
UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  a type tag, not a secret
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
