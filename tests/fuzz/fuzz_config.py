"""Fuzzes config.json, with an index or a safetensors header: `python tests/fuzz/fuzz_config.py -runs=20000 CORPUS`.

Bytes changed at random are hardly ever JSON, so most inputs choose one of the catalogue's configurations and what to
change in it; the rest are the three files themselves, with a zero byte between them. Whatever is no SizingError is a
bug, and so is an architecture that no model can have.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["slipway.architectures"]):
    from slipway.architectures import parse_config
    from slipway.errors import SizingError

MODELS = Path(__file__).parents[2] / "slipway/architectures/models"
CONFIGS = [
    entry["config"]
    for entry in (json.loads(path.read_text(encoding="utf-8")) for path in sorted(MODELS.glob("*.json")))
    if "architectures" in entry.get("config", {})
]
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 2**24, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf, "", "x",
    "float16", "fp8", "bogus", [], [0], [1, 2], ["full_attention"] * 3, [[]], {}, {"a": 1}, {"quant_method": "fp8"},
]  # fmt: skip


def check(config: str, index: str | None, header: bytes | None) -> None:
    with contextlib.suppress(SizingError):
        model = parse_config(config, name="model", index_text=index, header_bytes=header)
        assert 0 < model.weight_bytes < math.inf
        assert 0 <= model.active_parameters <= model.parameters
        assert model.layers > 0


def changed(source: atheris.FuzzedDataProvider) -> str:
    """One of the configurations with up to four of its values replaced, taken away or moved."""
    config = copy.deepcopy(CONFIGS[source.ConsumeIntInRange(0, len(CONFIGS) - 1)])
    for _ in range(source.ConsumeIntInRange(1, 4)):
        place = config
        while True:
            keys = sorted(place)
            if not keys:
                break
            key = keys[source.ConsumeIntInRange(0, len(keys) - 1)]
            if isinstance(place[key], dict) and place[key] and source.ConsumeBool():
                place = place[key]
                continue
            if source.ConsumeBool():
                place[key] = copy.deepcopy(VALUES[source.ConsumeIntInRange(0, len(VALUES) - 1)])
            elif source.ConsumeBool():
                place[key] = source.ConsumeInt(4)
            elif source.ConsumeBool():
                place[key] = copy.deepcopy(place[keys[source.ConsumeIntInRange(0, len(keys) - 1)]])
            else:
                del place[key]
            break
    return json.dumps(config)


def once(data: bytes) -> None:
    if data[:1] == b"{":
        config, index, header, *_ = [*data.split(b"\0", 2), b"", b""]
        check(
            config.decode("utf-8", "replace"),
            index.decode("utf-8", "replace") if index else None,
            header or None,
        )
    else:
        check(changed(atheris.FuzzedDataProvider(data)), None, None)


if __name__ == "__main__":
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
