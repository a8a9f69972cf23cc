"""Differences and their property paths."""

from __future__ import annotations

import pytest

from bootstrap.plugin.codec import UNKNOWN
from bootstrap.plugin.diffs import changes, format_path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("desired", "packages", 2, "version"), "desired.packages[2].version"),
        (("drift", "docker.io"), 'drift["docker.io"]'),
        (("a", 'say "x"', 'b\\c"'), 'a["say \\"x\\""]["b\\\\c\\""]'),
        (("",), '[""]'),
        (("a-b", "c d"), "a-b.c d"),
    ],
)
def test_paths_are_written_as_pulumi_does(path, text):
    assert format_path(path) == text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": 1}, {"a": True}, {"a": "update"}),
        ({"a": 1}, {}, {"a": "delete"}),
        ({}, {"a": {"b": 1}}, {"a": "add"}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c": "update"}),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, {"a[1]": "update", "a[2]": "add"}),
        ({"a": [1, 2]}, {"a": [1]}, {"a[1]": "delete"}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": "update"}),
        ({"a": "x"}, {"a": UNKNOWN}, {"a": "update"}),
        ({"a": {"b": 1}}, {"a": UNKNOWN}, {"a": "update"}),
    ],
)
def test_changes(old, new, expected):
    assert {format_path(change.path): change.kind for change in changes(old, new)} == expected
