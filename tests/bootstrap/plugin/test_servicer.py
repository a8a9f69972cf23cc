"""The generic servicer, called over real gRPC with a resource for tests."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf import empty_pb2

from bootstrap.plugin.codec import UNKNOWN, decode
from bootstrap.plugin.operation import MASK
from bootstrap.plugin.wire import plugin_pb2, provider_pb2
from tests.bootstrap.plugin.fake_resources import Kit
from tests.bootstrap.plugin.provider import CallError, provider, secret

pytestmark = pytest.mark.net

CLEAR = "a clear text"
Kind = provider_pb2.PropertyDiff.Kind


@pytest.fixture
def kit():
    with provider(Kit()) as served:
        yield served


@pytest.fixture
def inputs(tmp_path):
    return {"path": str(tmp_path / "file"), "content": "hello world"}


def test_the_provider_itself_never_differs(kit):
    assert kit.call("DiffConfig", provider_pb2.DiffRequest()).changes == provider_pb2.DiffResponse.DIFF_NONE
    configured = kit.call("Configure", provider_pb2.ConfigureRequest())
    assert configured.acceptSecrets
    assert configured.supportsPreview


def test_the_schema_lists_the_resource(kit):
    schema = json.loads(kit.call("GetSchema", provider_pb2.GetSchemaRequest()).schema)
    described = schema["resources"]["slipway:index:Kit"]
    assert described["requiredInputs"] == ["path", "content"]
    assert described["inputProperties"]["path"]["willReplaceOnChanges"] is True
    assert schema["version"] == kit.call("GetPluginInfo", empty_pb2.Empty()).version


def test_attach_hands_on_the_engines_address():
    addresses = []
    with provider(Kit(), attach=addresses.append) as kit:
        kit.call("Attach", plugin_pb2.PluginAttach(address="127.0.0.1:1"))
    assert addresses == ["127.0.0.1:1"]


@pytest.mark.parametrize(
    ("change", "failed", "reason"),
    [
        ({"path": "relative"}, "path", "absolute"),
        ({"content": None}, "content", "is missing"),
        ({"content": 3}, "content", "type string, not int"),
        ({"seconds": True}, "seconds", "type number, not bool"),
        ({"contend": "x"}, "contend", "did you mean content?"),
        ({"zzz": "x"}, "zzz", "known are"),
    ],
)
def test_check_names_the_property(kit, inputs, change, failed, reason):
    _, failures = kit.check({**inputs, **change})
    assert list(failures) == [failed]
    assert reason in failures[failed]


def test_check_lets_unknowns_pass_and_keeps_secrets(kit):
    given = secret({"path": UNKNOWN, "content": CLEAR, "desired": {"a": ["b", UNKNOWN]}}, ("content",))
    checked, failures = kit.check(given)
    assert failures == {}
    assert checked == given


def test_diff_names_nested_paths_and_replacements(kit, inputs):
    old = {**inputs, "desired": {"packages": [{"v": "1"}, {"v": "2"}]}}
    new = {**inputs, "path": "/other", "desired": {"packages": [{"v": "1"}, {"v": "3"}]}}
    found = kit.diff(old, new)
    assert {path: change.kind for path, change in found.detailedDiff.items()} == {
        "path": Kind.Value("UPDATE_REPLACE"),
        "desired.packages[1].v": Kind.Value("UPDATE"),
    }
    assert list(found.replaces) == ["path"]
    assert list(found.diffs) == ["desired", "path"]


def test_diff_of_equal_inputs_is_none_whatever_the_outputs(kit, inputs):
    found = kit.diff(inputs, inputs, state={**inputs, "pid": 1, "an output of an older version": True})
    assert found.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_ignored_changes_are_ignored(kit, inputs):
    found = kit.diff(inputs, {**inputs, "content": "x"}, ignore=("content",))
    assert found.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_drift_is_a_difference_of_its_own(kit, inputs):
    found = kit.diff(inputs, inputs, state={**inputs, "drift": {"file.content": "expected a, found b"}})
    assert found.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(found.detailedDiff) == ['drift["file.content"]']
    assert not found.detailedDiff['drift["file.content"]'].inputDiff


def test_preview_of_a_create_has_unknown_outputs_and_makes_nothing(kit, inputs, tmp_path):
    _, previewed = kit.create({**inputs, "content": UNKNOWN}, preview=True)
    assert previewed.values["derived"] is UNKNOWN
    assert previewed.values["where"] is UNKNOWN
    assert list(tmp_path.iterdir()) == []


def test_preview_of_an_update_keeps_what_is_stable(kit, inputs):
    previewed = kit.update({**inputs, "where": "there", "size": 3}, inputs, preview=True)
    assert previewed.values["where"] == "there"
    assert previewed.values["size"] is UNKNOWN


def test_outputs_derived_from_secrets_are_secret(kit, inputs):
    _, created = kit.create(secret({**inputs, "content": CLEAR}, ("content",)))
    assert created.values["derived"] == f"derived from {CLEAR}"
    assert created.secrets == {("content",), ("derived",)}


def test_what_was_secret_stays_secret(kit, inputs):
    updated = kit.update(secret({**inputs, "derived": CLEAR}, ("content",), ("derived",)), inputs)
    assert updated.secrets >= {("content",), ("derived",)}


def test_secrets_are_masked_in_logs_and_errors(kit, inputs, tmp_path):
    (tmp_path / "obstacle").touch()
    given = secret({**inputs, "content": CLEAR, "fail": str(tmp_path / "obstacle")}, ("content",))
    with pytest.raises(CallError) as caught:
        kit.create(given)
    assert str(caught.value) == f"it: no way to place {MASK}. Remove the obstacle."
    assert (("info", f"writing {MASK}", True)) in kit.sink.lines
    assert (("info", f"wrote {MASK}", False)) in kit.sink.lines
    assert CLEAR not in str(kit.sink.lines)


def test_a_failure_after_something_exists_keeps_it(kit, inputs, tmp_path):
    (tmp_path / "obstacle").touch()
    given = {**inputs, "fail": str(tmp_path / "obstacle"), "big": 300_000}
    with pytest.raises(CallError) as caught:
        kit.create(given)
    kept = caught.value.init_failed
    assert kept is not None
    assert kept.id == inputs["path"]
    assert list(kept.reasons) == [str(caught.value)]
    state = decode(kept.properties)
    assert state.values["size"] == len("hello world")
    assert decode(kept.inputs).values == given


def test_a_failure_before_anything_exists_keeps_nothing(kit, inputs):
    with pytest.raises(CallError) as caught:
        kit.create({**inputs, "path": "/nonexistent/folder/file"})
    assert caught.value.init_failed is None


def test_an_unforeseen_error_is_a_sentence_with_its_traceback_in_the_debug_log_only(kit, inputs):
    with pytest.raises(CallError) as caught:
        kit.create(secret({**inputs, "content": CLEAR, "crash": True}, ("content",)))
    assert str(caught.value).startswith(f"it: unforeseen RuntimeError: bug beside {MASK}. This is a fault")
    assert "Traceback" not in str(caught.value)
    assert "Traceback" in kit.sink.texts("debug")
    assert CLEAR not in kit.sink.texts("debug")


def test_an_unknown_resource_is_named(kit):
    kit.token = "slipway:index:Nonsense"
    with pytest.raises(
        CallError, match=r"slipway:index:Nonsense: there is no such resource; known are slipway:index:K"
    ):
        kit.check({})


def test_a_timeout_ends_the_operation_and_says_which(kit, inputs):
    started = time.monotonic()
    with pytest.raises(CallError, match=r"it: not done within 0\.3 s, the `custom_timeouts`"):
        kit.create({**inputs, "seconds": 20}, timeout=0.3)
    assert time.monotonic() - started < 30


def test_cancel_reaches_what_runs_and_what_starts_later(kit, inputs):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(kit.create, {**inputs, "seconds": 20})
        while not kit.sink.texts("info"):
            time.sleep(0.01)
        kit.call("Cancel", empty_pb2.Empty())
        with pytest.raises(CallError, match="it: stopped") as caught:
            running.result(timeout=30)
    assert caught.value.init_failed is not None
    with pytest.raises(CallError, match="it: stopped"):
        kit.create({**inputs, "seconds": 20})


def test_many_operations_run_at_once(kit, tmp_path):
    together = threading.Barrier(41)

    class Meeting(Kit):
        def create(self, operation, inputs):
            together.wait(timeout=20)
            return super().create(operation, inputs)

    with provider(Meeting()) as meeting, ThreadPoolExecutor(40) as pool:
        made = [pool.submit(meeting.create, {"path": str(tmp_path / str(i)), "content": "x"}) for i in range(40)]
        together.wait(timeout=20)
        assert {future.result()[0] for future in made} == {str(tmp_path / str(i)) for i in range(40)}


def test_read_of_what_is_gone_has_no_id(kit, inputs):
    assert kit.read("/nonexistent/file", inputs, inputs).id == ""


def test_import_brings_inputs_and_outputs(kit, tmp_path):
    (tmp_path / "file").write_text("found")
    response = kit.read(str(tmp_path / "file"))
    assert decode(response.inputs).values == {"path": str(tmp_path / "file"), "content": "found"}
    assert decode(response.properties).values["size"] == 5


def test_delete_gets_what_it_needs(kit, inputs, tmp_path):
    resource_id, created = kit.create(inputs)
    kit.delete(resource_id, created, inputs)
    assert list(tmp_path.iterdir()) == []


def test_messages_may_be_large(kit, inputs):
    _, created = kit.create({**inputs, "content": "x" * 6_000_000})
    assert created.values["size"] == 6_000_000
