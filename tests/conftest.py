"""Sockets are off; a test that needs them says so by its marker."""

from __future__ import annotations

import pytest

NEEDS_SOCKETS = ("net", "hosts", "pulumi")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(name) for name in NEEDS_SOCKETS):
            item.add_marker(pytest.mark.enable_socket)
