"""Whether a device is here is said before anything is loaded, with what there is and what to type."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from traitbench.backends.backend import Options
from traitbench.backends.devices import ACCELERATORS, device_of
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData


def absent() -> list[str]:
    """Kinds that torch does not see here; on no machine are all of them there."""
    modules = {kind: getattr(torch, kind, None) for kind in ACCELERATORS}
    return [kind for kind, module in modules.items() if module is None or not module.is_available()]


@pytest.mark.parametrize("kind", ACCELERATORS)
def test_a_device_that_is_not_here_is_refused_before_anything_is_looked_at(kind: str) -> None:
    if kind not in absent():
        assert device_of(kind) == kind
        return
    for name in (kind, f"{kind}:1"):
        with pytest.raises(BadData, match=rf"device '{name}': torch sees no .* here; expected cpu.*type --device cpu"):
            HuggingFace.check(resolve("org/no_such_model"), Options(device=name))


def there(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Have torch say that so many of each kind are here, which no machine of the tests has."""
    for kind in ACCELERATORS:
        many = counts.get(kind, 0)
        module = SimpleNamespace(is_available=lambda m=many: m > 0, device_count=lambda m=many: m)
        monkeypatch.setattr(torch, kind, module, raising=False)


def test_a_number_beyond_those_that_are_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, cuda=2)
    assert [device_of(name) for name in ("cuda", "cuda:1", "cpu", "auto", None)] == [
        "cuda", "cuda:1", "cpu", "auto", "cuda"]  # fmt: skip
    with pytest.raises(BadData, match=r"'cuda:7': torch sees 2 GPUs here, .* cpu, cuda:0 or cuda:1; type .*cuda:1$"):
        device_of("cuda:7")
    with pytest.raises(BadData, match="'hpu': torch sees no hpu here; expected cpu, cuda:0 or cuda:1; type"):
        device_of("hpu")
    there(monkeypatch, mps=1)
    assert device_of("mps") == device_of("mps:0")[:3] == "mps" and device_of(None) == "cpu"
