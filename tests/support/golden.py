"""Golden files: what was rendered, compared byte by byte with what was reviewed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def check_golden(name: str, files: Mapping[str, str], update: bool) -> None:
    """Compare `files` (path → text) with the folder tests/golden/`name`, or write them there when `update` is set.

    A file too many in the folder fails like one too few. Raises AssertionError with the diff and the command to run.
    """
    folder = GOLDEN / name
    wanted = {path.lstrip("/"): text for path, text in files.items()}
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    if update:
        for path in found.keys() - wanted.keys():
            found[path].unlink()
        for path, text in wanted.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        return
    difference: list[str] = []
    for path in sorted(wanted.keys() | found.keys()):
        golden = found[path].read_text(encoding="utf-8") if path in found else ""
        difference += difflib.unified_diff(
            golden.splitlines(keepends=True),
            wanted.get(path, "").splitlines(keepends=True),
            f"golden/{name}/{path}" if path in found else "/dev/null",
            f"rendered/{path}" if path in wanted else "/dev/null",
        )
        if (path in wanted) != (path in found) and not difference:
            difference.append(f"{path}: only {'rendered' if path in wanted else 'golden'}\n")
    text = "".join(difference)
    assert not text, f"{name} differs from its golden files:\n{text}\nIf that is right: pytest --update-golden"
