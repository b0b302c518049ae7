"""Files that others made, read with care: regular ones only, no larger, wider or deeper than what is meant can be.

What is wrong is raised as what the standard library raises for its kind (OSError, json.JSONDecodeError,
yaml.YAMLError), so that each reader says in its own words what it expected.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "LARGEST",
    "RATIO",
    "SMALL",
    "contents",
    "parsed",
    "parsed_yaml",
    "read_bytes",
    "read_text",
    "unzipped",
    "user_path",
]

LARGEST = 2 << 30
"""Bytes of a file that is read whole, packed or not."""
SMALL = 64 << 20
"""Bytes up to which a file may be packed as closely as it likes."""
RATIO = 300
"""Beyond them, how much larger a file may be than its gzipped form; answers reach 40, and a bomb 1000."""
_NODES = 100_000
"""Values in a YAML file, counted each time that an alias names them."""
_DEPTH = 50


def user_path(told: str | Path) -> Path:
    """A path as it was typed, its `~` put in full; what names no user is left, and is then no file."""
    return Path(os.path.expanduser(told))


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file of at most `largest`; OSError for any other, a pipe or a device among them."""
    # Opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if about.st_size > largest:
            raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, over {largest:,}", str(path))
        return handle.read()


def contents(settings: Mapping[str, Any]) -> dict[str, str]:
    """Digest the files that settings name: a file of the same name with other contents is another setting."""
    found = {}
    for name, value in settings.items():
        # Not Path.is_file: a text may be too long for a path, or hold a zero.
        place = user_path(value) if isinstance(value, str) and value else None
        if place is not None and (os.path.isdir(place) or os.path.isfile(place)):
            total = hashlib.sha256()
            for part in sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]:
                total.update(part.name.encode() + hashlib.sha256(part.read_bytes()).digest())
            found[name] = total.hexdigest()[:16]
    return found


def read_text(path: Path, encoding: str = "utf-8-sig", largest: int = SMALL) -> str:
    """The text of a regular file, without a byte-order mark; OSError, UnicodeDecodeError."""
    return read_bytes(path, largest).decode(encoding)


def unzipped(data: bytes) -> bytes:
    """Unpack gzip; OSError where it is damaged, cut short, or packed as no file of answers can be."""
    out, size = [], 0
    while data:
        packed, left = zlib.decompressobj(wbits=31), data
        while not packed.eof:
            try:
                part = packed.decompress(left, SMALL)
            except zlib.error as error:
                raise OSError(f"it is damaged ({error})") from None
            left, size = packed.unconsumed_tail, size + len(part)
            out.append(part)
            if size > min(LARGEST, max(SMALL, RATIO * len(data))):
                raise OSError(f"unpacked it is over {size:,} bytes, more than {RATIO} times as large")
            if not part and not left and not packed.eof:
                raise EOFError("it is cut short")
        data = packed.unused_data.lstrip(b"\0")
    return b"".join(out)


def parsed(text: str | bytes, **more: Any) -> Any:
    """JSON; json.JSONDecodeError too where it is nested too deeply, a number too long, or a sign half of one."""
    try:
        value = json.loads(text, **more)
        if "\\ud" in (text if isinstance(text, str) else text.decode("latin-1")).lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise json.JSONDecodeError("half of a sign (a lone surrogate)", "", 0) from None
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None


@cache
def _once() -> Any:
    """PyYAML's safe loader, which lets the last of two equal names win; this one refuses them."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set[tuple[str, str]]()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1} has a name that stands there already")
                seen |= {(key.tag, key.value)} if isinstance(key, yaml.ScalarNode) else set()
            return super().construct_mapping(node, deep)

    return Loader


def parsed_yaml(text: str) -> Any:
    """YAML; yaml.YAMLError too where it is nested too deeply, or its aliases would make much of little."""
    import yaml

    try:
        value = yaml.load(text, _once())
    except (RecursionError, ValueError, OverflowError) as error:
        # ValueError: a date that is none, a number too long.
        raise yaml.YAMLError(f"what stands there cannot be read ({type(error).__name__})") from None
    seen, open_ = 0, [(value, 1)]
    while open_:
        each, depth = open_.pop()
        seen += 1
        if depth > _DEPTH or seen > _NODES:
            raise yaml.YAMLError("nested too deeply" if depth > _DEPTH else f"over {_NODES:,} values")
        if isinstance(each, int) and abs(each) >= 1 << 64:
            raise yaml.YAMLError("a number of over 64 bits")
        if isinstance(each, dict):
            open_ += [(part, depth + 1) for part in (*each.keys(), *each.values())]
        elif isinstance(each, list | tuple | set):
            open_ += [(part, depth + 1) for part in each]
    return value
