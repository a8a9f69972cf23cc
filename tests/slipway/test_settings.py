from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slipway.errors import Problem, SettingsError
from slipway.settings import Settings, decode_config, parse_stack_file, schema, schema_text, settings_from_config
from tests.slipway.stack_files import HOST_KEY, LOCAL, settings

ROOT = Path(__file__).parents[2]

EVERYTHING = f"""\
secretsprovider: passphrase
encryptionsalt: v1:c2FsdA==:v1:abc
environment: [shared]
config:
  aws:region: eu-north-1
  slipway:provider: ssh
  slipway:kind: host
  slipway:release: local-2026.11
  slipway:model:
    name: my-model
    source: hf://owner/repository@0123abc/model.gguf
    sha256: {"a" * 64}
    size: 4GB
    context: 16384
    endpoint: https://mirror.example
  slipway:engine:
    name: llama.cpp
    replicas: 2
    threads: 8
    args: [--flash-attn, "on"]
    env: {{OMP_NUM_THREADS: "8"}}
    shm: 1GiB
  slipway:proxy: {{port: 443, concurrency: 8, queue: 64, queue_timeout: 20s, stream_timeout: 10m, retry_after: 2s}}
  slipway:ssh:
    user: admin
    host_key_policy: pinned
    inventory:
      - {{name: gpu-1, address: 192.0.2.11, host_key: "{HOST_KEY}"}}
      - {{name: gpu-2, address: "2001:db8::12", port: 2222, user: root, host_key: "{HOST_KEY} comment"}}
  slipway:container:
    log_max_size: 20MB
    log_max_files: 5
    registry_mirrors: ["https://mirror.example"]
    apt_sources: ["deb https://deb.example/debian bookworm main"]
    archives:
      proxy: {{path: /srv/proxy.tar, sha256: {"b" * 64}, image_id: "sha256:{"c" * 64}"}}
  slipway:collector: {{otlp_endpoint: "https://telemetry.example:4317", memory: 512MiB}}
  slipway:rollout: {{canary: 1, wave: 50%, bake: 5m, max_unavailable: 1}}
  slipway:drain: {{settle: 10s, deadline: 2m}}
  slipway:gate: {{health: 10m, completion: 1m30s}}
  slipway:api_key:
    secure: v1:nonce:ciphertext
"""


def test_a_few_lines_are_enough() -> None:
    found = settings()
    assert found.model.name == "smollm2-135m-instruct"
    assert (found.proxy.port, found.proxy.queue_timeout, found.rollout.wave) == (8443, 15.0, "25%")
    assert found.api_key is None


def test_everything_can_be_said() -> None:
    found = parse_stack_file(EVERYTHING, "Pulumi.prod.yaml")
    assert found.ssh.inventory[1].port == 2222
    assert found.gate.completion == 90.0
    assert found.model.size == 4_000_000_000
    assert "ciphertext" not in repr(found)


def test_the_stacks_here_are_right() -> None:
    for path in sorted((ROOT / "stacks").glob("Pulumi.*.yaml")):
        parse_stack_file(path.read_text(encoding="utf-8"), path.name)


def test_the_same_from_pulumi() -> None:
    """Pulumi gives sections as JSON, single values as text, secrets in clear with the names of their keys."""
    raw = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in yaml.safe_load(EVERYTHING)["config"].items()
    }
    raw["slipway:api_key"] = "sk-in-clear"
    found = settings_from_config(decode_config(raw), "stack prod", secrets=["api_key"])
    wanted = parse_stack_file(EVERYTHING, "Pulumi.prod.yaml")
    assert found.model_copy(update={"api_key": None}) == wanted.model_copy(update={"api_key": None})
    assert found.api_key is not None
    assert "sk-in-clear" not in str(found.model_dump())


def test_a_key_in_clear_is_refused_from_pulumi_too() -> None:
    values = {"provider": "local", "release": "local-2026.11", "model": "smollm2-135m-instruct", "api_key": "sk-1"}
    assert settings_from_config(values, "stack local").api_key is not None
    with pytest.raises(SettingsError, match="slipway:api_key: this secret is not encrypted") as caught:
        settings_from_config(values, "stack local", secrets=())
    assert "sk-1" not in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().release = "other"  # type: ignore[misc]


def test_a_consequence_is_not_a_second_problem() -> None:
    """gpus is wrong, so whether tensor_parallel fits is not known."""
    text = LOCAL + "  slipway:engine:\n    gpus: four\n    tensor_parallel: 2\n"
    with pytest.raises(SettingsError) as caught:
        parse_stack_file(text, "f")
    assert [problem.key for problem in caught.value.problems] == ["slipway:engine.gpus"]


def test_rules_are_asked_although_a_field_is_wrong() -> None:
    text = LOCAL + "  slipway:proxy:\n    port: 8404\n    queue: many\n"
    with pytest.raises(SettingsError) as caught:
        parse_stack_file(text, "f")
    assert [problem.key for problem in caught.value.problems] == ["slipway:proxy.port", "slipway:proxy.queue"]


def test_aliases_of_aliases_end_soon() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(SettingsError, match="nested without end"):
        parse_stack_file("\n".join(lines), "f")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)


def _any_section() -> st.SearchStrategy[dict[str, Any]]:
    fields = sorted(Settings.model_fields)
    inner = ("name", "port", "inventory", "args", "env", "wave", "source", "secure", "archives")
    sections = st.dictionaries(st.sampled_from(inner), DATA, max_size=3)
    return st.dictionaries(st.sampled_from(fields), DATA | sections, max_size=5)


@given(values=_any_section())
@hypothesis_settings(max_examples=150)
def test_any_values_end_in_settings_or_in_problems(values: dict[str, Any]) -> None:
    base = {"provider": "local", "release": "local-2026.11", "model": "smollm2-135m-instruct"}
    for candidate in (values, base | values):
        problems = _problems(candidate)
        assert problems is None or (problems and all(problem.what and problem.fix for problem in problems))


def _problems(values: dict[str, Any]) -> tuple[Problem, ...] | None:
    try:
        settings_from_config(values, "stack")
    except SettingsError as error:
        return error.problems
    return None


@given(text=st.text(max_size=80) | st.text(alphabet="&*!{}[]:-?|>%@`\"'\n\t #<a1.", max_size=60))
@hypothesis_settings(max_examples=300)
def test_any_text_ends_in_problems(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_stack_file(text, "f")
    assert caught.value.problems
    assert str(caught.value)


@given(data=DATA)
@hypothesis_settings(max_examples=150)
def test_any_yaml_ends_in_problems(data: object) -> None:
    with pytest.raises(SettingsError):
        parse_stack_file(yaml.safe_dump({"config": {"slipway:proxy": data, "slipway:ssh": data}}), "f")


def test_the_schema_that_is_checked_in_is_current() -> None:
    assert (ROOT / "docs/stack.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "update with: slipway schema --out docs/stack.schema.json"
    )


def test_the_schema_takes_what_is_right() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "stacks").glob("Pulumi.*.yaml")]
    for text in [*texts, LOCAL, EVERYTHING]:
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "name",
    [
        "key-unknown",
        "section-unknown",
        "port-too-high",
        "api-key-in-clear",
        "unknown-top-key",
        "duration-without-unit",
        "release-missing",
    ],
)
def test_the_schema_refuses_what_is_wrong(name: str) -> None:
    text = (Path(__file__).parent / "broken" / f"{name}.yaml").read_text(encoding="utf-8")
    assert not jsonschema.Draft202012Validator(schema()).is_valid(yaml.safe_load(text))
