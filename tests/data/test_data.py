"""Finding, fetching and reading the data that does not ship; the fetching is from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from traitbench import data, inventories
from traitbench.errors import BadData, UnknownName

FILES = {"a+b/one.txt": b"first", "a+b/test/two.txt": b"second"}


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and keeps a list of what was asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        self.asked.append(self.path)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data folder, an empty cache, no proxy."""
    monkeypatch.delenv("TRAITBENCH_DATA", raising=False)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


@pytest.fixture
def server(bare: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A server of `<tmp>/site`: its address, its folder, the paths asked for."""
    site, asked = bare / "site", list[str]()
    site.mkdir()
    handler = type("Handler", (Quiet,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site))) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", site, asked
        running.shutdown()
        thread.join()


def toy(monkeypatch: pytest.MonkeyPatch, site: Path | None = None, **changes: Any) -> data.Source:
    """Enter a data set of two files into the catalogue, and serve it from `site`."""
    files = tuple(
        data.SourceFile(file=name, sha256=hashlib.sha256(content).hexdigest(), save=name.removeprefix("a+b/"))
        for name, content in FILES.items()
    )
    fields = {"name": "toy", "about": "a toy", "licence": "toys only", "repository": "us/toys", "commit": "c0ffee"}
    source = data.Source.model_validate({**fields, "files": files, **changes})
    monkeypatch.setitem(data.SOURCES, source.name, source)
    if site is not None:
        for name, content in FILES.items():
            place = site / "us/toys/c0ffee" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return source


def left(folder: Path) -> list[str]:
    """Every file under a folder, partial ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_catalogue_is_pinned() -> None:
    assert set(data.SOURCES) == {"papi", "personalitybench", "sd3", "dirty_dozen", "bfi_44"}
    for name, source in data.SOURCES.items():
        assert source.name == name and len(source.commit) == 40
        assert all(len(file.sha256) == 64 and not file.save.startswith(("/", ".")) for file in source.files)
        assert source.restricted == (name in ("sd3", "dirty_dozen", "bfi_44"))


def test_restricted_inventories_name_a_source() -> None:
    named = {inventories.load(name, texts=False).data for name in inventories.names()} - {None}
    assert named == {name for name, source in data.SOURCES.items() if source.restricted}


def test_get_fetches_checks_and_keeps(
    server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    address, site, asked = server
    toy(monkeypatch, site)
    assert data.find("toy") is None
    folder = data.get("TOY", base_url=address + "/")
    assert {name: (folder / name).read_bytes() for name in left(folder)} == {
        "one.txt": b"first", "test/two.txt": b"second",
    }  # fmt: skip
    assert data.find("toy") == data.path("toy") == folder
    assert left(bare / "cache") == ["data/toy/one.txt", "data/toy/test/two.txt"]
    data.get("toy", base_url=address)
    assert len(asked) == 2, "what is there and right is not fetched again"


def test_a_damaged_copy_is_fetched_again(
    server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    address, site, _ = server
    toy(monkeypatch, site)
    folder = data.get("toy", base_url=address)
    (folder / "one.txt").write_bytes(b"damaged")
    assert (data.get("toy", base_url=address) / "one.txt").read_bytes() == b"first"
    assert left(bare / "cache") == ["data/toy/one.txt", "data/toy/test/two.txt"]


def test_a_wrong_sum_keeps_nothing(
    server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    address, site, _ = server
    toy(monkeypatch, site)
    (site / "us/toys/c0ffee/a+b/test/two.txt").write_bytes(b"changed")
    with pytest.raises(BadData, match=r"two.txt has sha256 [0-9a-f]{64}; expected"):
        data.get("toy", base_url=address)
    assert left(bare / "cache") == [] and data.find("toy") is None


def test_a_file_that_is_not_there(server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    toy(monkeypatch)
    with pytest.raises(BadData, match=r"could not download http://127.*/us/toys/c0ffee/a%2Bb/one.txt: .*404"):
        data.get("toy", base_url=server[0])


def test_no_connection(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(BadData, match=r"could not download.*TRAITBENCH_DATA="):
        data.get("toy", base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(BadData, match="is no address"):
        data.get("toy", base_url="ftp://host")
    assert left(bare / "cache") == []


def test_a_licence_is_accepted_first(server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, site, asked = server
    toy(monkeypatch, site, restricted=True)
    with pytest.raises(BadData, match=r"toys only.*traitbench data get toy --accept_licence"):
        data.get("toy", base_url=address)
    assert asked == []
    assert data.get("toy", accept_licence=True, base_url=address).is_dir()


def test_a_cache_that_cannot_be_written(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(monkeypatch)
    (bare / "cache").write_text("a file where the folder should be")
    with pytest.raises(BadData, match=r"cannot write.*TRAITBENCH_CACHE"):
        data.get("toy", base_url="http://127.0.0.1:9")


@pytest.mark.parametrize("place", ["inventories/toy.json", "toy.json", "data/toy/one.txt", "toy/one.txt"])
def test_the_users_folders_come_first(
    place: str, server: tuple[str, Path, list[str]], monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    address, site, _ = server
    toy(monkeypatch, site)
    cached = data.get("toy", base_url=address)
    own = bare / "second" / place
    own.parent.mkdir(parents=True)
    own.write_text("own")
    monkeypatch.setenv("TRAITBENCH_DATA", os.pathsep.join([str(bare / "first"), str(bare / "second")]))
    assert data.find("toy") == (own if place.endswith(".json") else own.parent)
    monkeypatch.setenv("TRAITBENCH_DATA", str(bare / "first"))
    assert data.find("toy") == cached


def test_part_of_a_set_in_the_cache_is_not_the_set(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(monkeypatch)
    (bare / "cache/data/toy").mkdir(parents=True)
    (bare / "cache/data/toy/one.txt").write_bytes(b"first")
    assert data.find("toy") is None


def test_missing_and_unknown(bare: Path) -> None:
    with pytest.raises(BadData, match=r"traitbench data get papi`.*TRAITBENCH_DATA"):
        data.path("papi")
    with pytest.raises(UnknownName, match="did you mean 'papi'"):
        data.path("pappi")
    with pytest.raises(UnknownName, match="unknown data set"):
        data.get("nothing")
    assert {row.name: row.found for row in data.list_rows()} == dict.fromkeys(data.SOURCES)


def test_rows_say_where(shared: Path) -> None:
    found = {row.name: row.found for row in data.list_rows()}
    assert found["bfi_44"] == shared / "inventories" / "bfi_44.json"
    assert found["papi"] == shared / "data" / "papi"


def supply(folder: Path, name: str, file: str, content: str, encoding: str = "utf-8") -> None:
    (folder / name).mkdir()
    (folder / name / file).write_bytes(content.encode(encoding))


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_codebook_is_read(encoding: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = (
        "About this data (2011).\r\n\r\nM1\tIt’s a made-up  sentence. \r\nN2\tAnother “one”\r\n\r\n"
        "And these:\r\n\r\ncountry\tFrom a table.\r\n"
    )
    supply(bare, "sd3", "codebook.txt", made_up, encoding)
    monkeypatch.setenv("TRAITBENCH_DATA", str(bare))
    assert data.texts("sd3").texts == {"sd3_M1": "It's a made-up sentence.", "sd3_N2": 'Another "one".'}


def test_the_dirty_dozens_codebook_is_read(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"HSNS{n}\tOther {n}." for n in range(1, 11)] + [f"DD{s}{n}\t{s} {n}." for s in "MPN" for n in range(1, 5)]
    supply(bare, "dirty_dozen", "codebook.txt", "\n".join(lines))
    monkeypatch.setenv("TRAITBENCH_DATA", str(bare))
    found = data.texts("dirty_dozen").texts
    assert len(found) == 12 and (found["dd_1"], found["dd_5"], found["dd_12"]) == ("M 1.", "P 1.", "N 4.")


def test_files_without_texts(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supply(bare, "sd3", "codebook.txt", "nothing here")
    supply(bare, "bfi_44", "other.json", "[]")
    (bare / "dirty_dozen.json").write_text('{"items": [')
    monkeypatch.setenv("TRAITBENCH_DATA", str(bare))
    with pytest.raises(BadData, match="holds no item texts of sd3; get a copy with"):
        data.texts("sd3")
    with pytest.raises(BadData, match=r"holds none of bfi_44\.json, bfi\.json"):
        data.texts("bfi_44")
    with pytest.raises(BadData, match=r"dirty_dozen.json:1: not valid JSON"):
        data.texts("dirty_dozen")


def test_the_published_formats_make_whole_inventories(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((shared / "inventories" / f"{name}.json").read_text())["items"]
        return found

    def curly(text: str) -> str:
        return text.replace("'", "’")

    sd3 = [f"{row['openpsych_id']}\t{curly(row['text_openpsych_2011'] or row['text'])} " for row in rows("sd3")]
    dozen = [f"{row['openpsych_id']}\t{row['text']}" for row in rows("dirty_dozen")]
    bfi = [{"input": row["text"], "target": None, "metadata": {"reverse": row["keyed"] < 0}} for row in rows("bfi_44")]
    supply(tmp_path, "sd3", "codebook.txt", "\n".join(sd3), "cp1252")
    supply(tmp_path, "dirty_dozen", "codebook.txt", "\n".join(dozen))
    supply(tmp_path, "bfi_44", "bfi.json", json.dumps(bfi))
    expected = {name: [item.text for item in inventories.load(name).items] for name in ("dirty_dozen", "bfi_44")}
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    assert set(inventories.load("sd3").wordings) == {"sd3_M7", "sd3_M8"}
    assert {name: [item.text for item in inventories.load(name).items] for name in expected} == expected
