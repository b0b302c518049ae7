"""Notebooks as pages: each is run when the site is built, and becomes Markdown with what its cells show.

A cell that fails stops the build. Notebooks are committed without outputs; nothing that is written here is. No plug-in
is used, because those that exist put a style of their own, and scripts from elsewhere, into every page.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300
"""For one cell."""
LOCAL = Config({"KernelManager": {"transport": "ipc"}})
"""Sockets of this machine's files: no port is open while a notebook runs."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a page in the place of each notebook, which can be downloaded from it."""
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        assert file.abs_src_path is not None
        text = markdown(Path(file.abs_src_path))
        name = Path(file.src_uri).name
        text += f"\n\n[This page as a notebook]({name}){{ download }}\n"
        files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=text))
    return files


def markdown(path: Path) -> str:
    """Run a notebook from the project's folder; texts, code and outputs as Markdown."""
    notebook = nbformat.read(path, as_version=4)
    try:
        NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(ROOT)}}, config=LOCAL).execute()
    except CellExecutionError as error:
        told = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        raise PluginError(f"{path}: {told}") from None
    return "\n\n".join(part for cell in notebook.cells for part in _parts(cell))


def _parts(cell: Any) -> list[str]:
    if cell.cell_type != "code":
        return [cell.source]
    return [f"```python\n{cell.source}\n```", *filter(None, map(_shown, cell.outputs))]


def _shown(output: Any) -> str:
    """One output; progress and warnings, which go to stderr, are left out."""
    if output.output_type == "stream":
        return _plain(output.text) if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/svg+xml" in data:
        return f'<div class="output">{_one_block(data["image/svg+xml"])}</div>'
    if "text/html" in data:
        # Of a frame its table alone: the theme styles tables, and knows none that say how wide their lines are.
        html = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        html = re.sub(r'<table border="1" class="dataframe">', "<table>", html)
        return f'<div class="output md-typeset__table">{_one_block(html)}</div>'
    return data.get("text/markdown") or _plain(data.get("text/plain", ""))


def _one_block(html: str) -> str:
    """HTML without empty lines, at which Markdown would begin anew."""
    return re.sub(r"\n\s*(?=\n|<)", "\n", html.strip()).replace("\n\n", "\n")


def _plain(text: str) -> str:
    return f"<pre><code>{escape(text.rstrip())}</code></pre>" if text.strip() else ""
