"""Property structs to plain values and back."""

from __future__ import annotations

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from bootstrap.plugin import wire
from bootstrap.plugin.codec import UNKNOWN, Properties, covered, decode, encode, leaves, taint

texts = st.text(max_size=20).filter(lambda text: text != wire.UNKNOWN_MARK)
keys = st.text(min_size=1, max_size=8).filter(lambda key: key != wire.SIGNATURE)
scalars = (
    st.just(UNKNOWN)
    | st.booleans()
    | st.integers(min_value=-(2**53), max_value=2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


def paths_of(value, path=()):
    """Every path in a value, inner ones too."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_of(item, (*path, key))


@st.composite
def properties(draw):
    plain = draw(st.dictionaries(keys, values, max_size=4))
    candidates = sorted(paths_of(plain), key=repr)
    chosen = draw(st.sets(st.sampled_from(candidates), max_size=3)) if candidates else set()
    outermost = {path for path in chosen if not any(path[:length] in chosen for length in range(1, len(path)))}
    return Properties(plain, frozenset(outermost))


@given(properties())
def test_decode_undoes_encode(given_properties):
    assert decode(encode(given_properties.values, given_properties.secrets)) == given_properties


@given(properties())
def test_the_wire_survives_serialisation(given_properties):
    struct = encode(given_properties.values, given_properties.secrets)
    assert decode(struct_pb2.Struct.FromString(struct.SerializeToString())) == given_properties


def test_marks_are_the_sdks():
    assert (
        rpc.UNKNOWN,
        rpc._special_sig_key,
        rpc._special_secret_sig,
        rpc._special_output_value_sig,
    ) == (wire.UNKNOWN_MARK, wire.SIGNATURE, wire.SECRET, wire.OUTPUT)


def test_messages_are_those_of_the_sdk():
    from pulumi.runtime.proto import provider_pb2

    ours = wire.provider_pb2.CheckRequest(urn="urn:x").SerializeToString()
    assert provider_pb2.CheckRequest.FromString(ours).urn == "urn:x"


def test_unknown_inside_a_secret_is_both():
    struct = struct_pb2.Struct()
    struct.update({"key": {wire.SIGNATURE: wire.SECRET, "value": wire.UNKNOWN_MARK}})
    found = decode(struct)
    assert found.values == {"key": UNKNOWN}
    assert found.secrets == {("key",)}
    assert found.unknowns == {("key",)}


@pytest.mark.parametrize(
    ("output", "value", "secret"),
    [
        ({"value": "a"}, "a", False),
        ({"value": "a", "secret": True}, "a", True),
        ({"secret": True}, UNKNOWN, True),
        ({}, UNKNOWN, False),
    ],
)
def test_output_values_are_understood(output, value, secret):
    struct = struct_pb2.Struct()
    struct.update({"list": [{wire.SIGNATURE: wire.OUTPUT, **output}]})
    found = decode(struct)
    assert found.values == {"list": [value]}
    assert found.secrets == ({("list", 0)} if secret else frozenset())


def test_nulls_in_objects_are_left_out():
    struct = struct_pb2.Struct()
    struct.update({"a": None, "b": {"c": None, "d": [None]}})
    assert decode(struct).values == {"b": {"d": [None]}}


def test_an_impossible_value_names_its_path():
    with pytest.raises(TypeError, match=r"'a', 0.*set"):
        encode({"a": [set()]})


def test_taint_finds_what_contains_a_secret():
    found = taint({"url": "https://u:hunter2hunter2@h", "list": ["x", {"deep": "hunter2hunter2"}]}, ["hunter2hunter2"])
    assert found == {("url",), ("list", 1, "deep")}


def test_short_clear_texts_are_not_looked_for():
    assert Properties({"a": "short", "b": "long enough"}, frozenset({("a",), ("b",)})).clear_texts == {"long enough"}


def test_covered_looks_at_the_paths_above():
    assert covered(("a", "b", 0), frozenset({("a", "b")}))
    assert not covered(("a",), frozenset({("a", "b")}))


def test_leaves_are_in_order():
    assert list(leaves({"a": [1, {"b": 2}], "c": ()})) == [(("a", 0), 1), (("a", 1, "b"), 2)]
