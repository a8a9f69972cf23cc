"""The provider protocol for any set of resources: decode, call the resource, encode, and turn errors into sentences.

https://www.pulumi.com/docs/iac/guides/building-extending/providers/implementers/ describes what the engine expects.
"""

# ruff: noqa: N802, ARG002  the names and the signatures are gRPC's

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status

from bootstrap.plugin.codec import Properties, PropertyPath, Values, decode, encode, taint
from bootstrap.plugin.diffs import Change, changes, format_path
from bootstrap.plugin.operation import Masker, Operation, OperationLog, Operations, Sink
from bootstrap.plugin.resource import Failure, Resource
from bootstrap.plugin.schema import VERSION, package_schema
from bootstrap.plugin.wire import plugin_pb2, provider_pb2, provider_pb2_grpc
from slipway.errors import DeadlineError, SlipwayError

Response = TypeVar("Response")

_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process. `sink` takes log lines, `attach` a new engine address, `now` is the wall clock."""

    def __init__(
        self,
        resources: Iterable[Resource],
        sink: Sink,
        *,
        attach: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.operations = Operations()
        self._resources = {resource.token: resource for resource in resources}
        self._sink = sink
        self._attach = attach
        self._now = now

    # The provider itself: it has no configuration, so nothing about it is ever a difference.

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=package_schema(self._resources.values()))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        if self._attach:
            self._attach(request.address)
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.operations.cancel_all()
        return empty_pb2.Empty()

    # One resource.

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        news = decode(request.news)

        def run(resource: Resource, operation: Operation) -> provider_pb2.CheckResponse:
            failures = list(resource.check_declared(news.values))
            if not failures:
                failures = list(resource.check(news.values))
            declared = {(name,) for name in resource.secret_names}
            return provider_pb2.CheckResponse(
                inputs=encode(news.values, news.secrets | declared),
                failures=[_failure(failure, operation.mask) for failure in failures],
            )

        return self._run(context, request, (news,), run)

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        outputs, old, new = decode(request.olds), decode(request.old_inputs), decode(request.news)

        def run(resource: Resource, operation: Operation) -> provider_pb2.DiffResponse:
            ignored = {*request.ignoreChanges, *(known.name for known in resource.inputs if known.quiet)}
            found = [
                change
                for change in (
                    *changes(old.values, new.values),
                    *resource.diff(outputs.values, new.values, operation.now()),
                )
                if format_path(change.path) not in ignored and change.path[0] not in ignored
            ]
            return _diff_response(resource, found)

        return self._run(context, request, (outputs, old, new), run)

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        news = decode(request.properties)

        def run(resource: Resource, operation: Operation) -> provider_pb2.CreateResponse:
            if request.preview:
                previewed = resource.preview(resource.with_defaults(news.values), None)
                return provider_pb2.CreateResponse(properties=_state(resource, previewed, news))
            created, outputs = resource.create(operation, resource.with_defaults(news.values))
            return provider_pb2.CreateResponse(id=created, properties=_state(resource, outputs, news))

        return self._run(context, request, (news,), run)

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        state, inputs = decode(request.properties), decode(request.inputs)

        def run(resource: Resource, operation: Operation) -> provider_pb2.ReadResponse:
            if not state.values and not inputs.values:
                return self._adopt(resource, operation, request.id)
            outputs = resource.read(operation, request.id, resource.with_defaults(inputs.values), state.values)
            if outputs is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=request.id, properties=_state(resource, outputs, inputs, state), inputs=request.inputs
            )

        return self._run(context, request, (state, inputs), run)

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        state, news = decode(request.olds), decode(request.news)

        def run(resource: Resource, operation: Operation) -> provider_pb2.UpdateResponse:
            inputs = resource.with_defaults(news.values)
            if request.preview:
                for text in resource.warnings(inputs, state.values, operation.now()):
                    operation.log.warning(f"{operation.name}: {text}")
                outputs = resource.preview(inputs, state.values)
            else:
                outputs = resource.update(operation, request.id, inputs, state.values)
            return provider_pb2.UpdateResponse(properties=_state(resource, outputs, news, state))

        return self._run(context, request, (state, news), run)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        state, inputs = decode(request.properties), decode(request.old_inputs)

        def run(resource: Resource, operation: Operation) -> empty_pb2.Empty:
            resource.delete(operation, request.id, resource.with_defaults(inputs.values), state.values)
            return empty_pb2.Empty()

        return self._run(context, request, (state, inputs), run)

    @staticmethod
    def _adopt(resource: Resource, operation: Operation, resource_id: str) -> provider_pb2.ReadResponse:
        found = resource.adopt(operation, resource_id)
        if found is None:
            return provider_pb2.ReadResponse()
        declared = frozenset((name,) for name in resource.secret_names)
        inputs = Properties(found[0], declared)
        return provider_pb2.ReadResponse(
            id=resource_id,
            properties=_state(resource, found[1], inputs),
            inputs=encode(inputs.values, inputs.secrets),
        )

    def _run(
        self,
        context: grpc.ServicerContext,
        request: Any,
        properties: tuple[Properties, ...],
        run: Callable[[Resource, Operation], Response],
    ) -> Response:
        """Run one operation of one resource; every error leaves as one sentence without secrets."""
        token, name = _token_and_name(request.urn)
        resource = self._resources.get(token)
        if resource is None:
            known = ", ".join(sorted(self._resources))
            context.abort(grpc.StatusCode.NOT_FOUND, f"{token}: there is no such resource; known are {known}.")
        mask = Masker(text for known in properties for text in known.clear_texts)
        operation = Operation(
            urn=request.urn,
            name=name,
            log=OperationLog(self._sink, request.urn, mask),
            mask=mask,
            timeout=getattr(request, "timeout", 0) or None,
            now=self._now,
        )
        try:
            with self.operations.track(operation):
                return run(resource, operation)
        except Exception as error:  # noqa: BLE001  the engine must get an answer, whatever it was
            sentence = mask(_sentence(error, operation))
            if not isinstance(error, SlipwayError):
                operation.log.debug(traceback.format_exc())
        if operation.existing is None:
            context.abort(grpc.StatusCode.UNKNOWN, sentence)
        # Only create and update say that something exists; the inputs they were given are the last property set.
        return self._abort_initialised(context, resource, operation, properties, sentence)

    @staticmethod
    def _abort_initialised(
        context: grpc.ServicerContext,
        resource: Resource,
        operation: Operation,
        properties: tuple[Properties, ...],
        sentence: str,
    ) -> NoReturn:
        """Say that the resource exists but did not come up: the engine keeps it, and updates it the next time."""
        assert operation.existing is not None  # noqa: S101  for the type checker; the caller asked
        existing, outputs = operation.existing
        inputs, earlier = properties[-1], properties[:-1]
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=existing,
                properties=_state(resource, outputs, inputs, *earlier),
                reasons=[sentence],
                inputs=encode(inputs.values, inputs.secrets),
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=sentence, details=[detail])
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status returned")


def _token_and_name(urn: str) -> tuple[str, str]:
    """`urn:pulumi:stack::project::parent$type::name` to type and name; a name may hold `::`."""
    parts = urn.split("::", 3)
    return parts[2].rsplit("$", 1)[-1], parts[3]


def _state(resource: Resource, outputs: Values, inputs: Properties, *earlier: Properties) -> struct_pb2.Struct:
    """Inputs and declared outputs as one struct. Secret is what was, what is declared so, what contains a secret."""
    named = {known.name: outputs[known.name] for known in resource.outputs if known.name in outputs}
    values = {**inputs.values, **named}
    declared: set[PropertyPath] = {(name,) for name in resource.secret_names}
    secrets = inputs.secrets.union(declared, *(properties.secrets for properties in earlier))
    clear_texts = Properties(values, secrets).clear_texts.union(
        *(properties.clear_texts for properties in (inputs, *earlier))
    )
    return encode(values, secrets | taint(values, clear_texts))


def _diff_response(resource: Resource, found: list[Change]) -> provider_pb2.DiffResponse:
    replacing = {known.name for known in resource.inputs if known.replace}
    detailed = {
        format_path(change.path): provider_pb2.PropertyDiff(
            kind=_KINDS[change.kind, change.path[0] in replacing], inputDiff=change.of_inputs
        )
        for change in found
    }
    names = sorted({str(change.path[0]) for change in found})
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=names,
        replaces=[name for name in names if name in replacing],
        stables=[known.name for known in resource.outputs if known.stable],
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=resource.delete_before_replace,
    )


def _failure(failure: Failure, mask: Callable[[str], str]) -> provider_pb2.CheckFailure:
    return provider_pb2.CheckFailure(property=format_path(failure.path), reason=mask(failure.reason))


def _sentence(error: Exception, operation: Operation) -> str:
    if operation.timed_out:
        return str(
            DeadlineError(
                f"not done within {operation.timeout:g} s, the `custom_timeouts` of this resource (it was at: {error})",
                where=operation.name,
                fix="Run `pulumi up` again, it goes on from there; raise the timeout if that is what it takes.",
            )
        )
    if isinstance(error, SlipwayError):
        return str(error)
    return (
        f"{operation.name}: unforeseen {type(error).__name__}: {error}. This is a fault of the provider; "
        "`pulumi up --debug` shows where it happened."
    )
