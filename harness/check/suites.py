"""Whether two baselines are of one suite: the same model and code, or the same of everything but the model."""

from __future__ import annotations

from traitbench.check.baseline import Asked, Baseline, Suite

__all__ = ["PROMPTS", "changes", "differences", "rendering"]

PROMPTS = ": prompts"
"""End of the name of a change that is one of the prompts alone."""
_RENDERING = ("chat_template", "system_role", "content_parts", "thinking", "begins")
"""Parts of a model's identity that its chat template and tokenizer decide."""
_TOKENIZER = ("added_tokens.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")


def differences(then: Baseline, now: Baseline, same_model: bool) -> list[str]:
    """What makes the two no pair, in words; `same_model`: another model does."""
    a, b, told = then.suite, now.suite, []
    if a.backend != b.backend:
        told.append(f"the backend was {a.backend} and is {b.backend}")
    if a.method != b.method:
        told.append(f"the method was {a.method} and is {b.method}")
    if same_model:
        told += _model(a, b)
        if any(line.startswith("the model's") for line in told):
            told.append("where the model is what is checked, name it: --model")
    if a.controls != b.controls:
        told.append("the stored controls are others")
    for task in dict.fromkeys((*then.tasks, *now.tasks)):
        if task not in then.tasks or task not in now.tasks:
            told.append(f"the task {task} was asked {'then' if task in then.tasks else 'now'} alone")
        else:
            told += _task(task, then.tasks[task], now.tasks[task])
    return told


def _model(then: Suite, now: Suite) -> list[str]:
    """In what the model is another. Its `weights` name all its files, so these are told where they are known."""
    files = _other_files(then, now)
    told = [f"the model's files are others: {_some(files)}; the rest is as it was"] if files else []
    for name in dict.fromkeys((*then.model, *now.model)):
        if then.model.get(name) != now.model.get(name) and not (files and name == "weights"):
            about = (
                " (all its files, the chat template among them)" if name == "weights" and _template(then, now) else ""
            )
            told.append(f"the model's {name}{about} was {then.model.get(name)} and is {now.model.get(name)}")
    return told


def _other_files(then: Suite, now: Suite) -> list[str]:
    """Names of the model's files that differ; none where those of either are not known."""
    if not (then.files and now.files):
        return []
    return sorted(name for name in then.files | now.files if then.files.get(name) != now.files.get(name))


def _template(then: Suite, now: Suite) -> bool:
    return then.model.get("template_hash") != now.model.get("template_hash")


def rendering(then: Suite, now: Suite) -> str:
    """What of the model decides how its prompts look and is another; empty where nothing is."""
    if _template(then, now):
        return f"chat template was {then.model.get('template_hash')} and is {now.model.get('template_hash')}"
    if others := [name for name in _RENDERING if then.model.get(name) != now.model.get(name)]:
        return f"rendering is another ({', '.join(others)})"
    files = [name for name in _other_files(then, now) if name in _TOKENIZER]
    return f"tokenizer is another ({', '.join(files)})" if files else ""


def _task(name: str, then: Asked, now: Asked) -> list[str]:
    if then.version != now.version:
        return [f"{name}: its version was {then.version} and is {now.version}"]
    a, b = ({(trait, item) for trait, keys in one.keys.items() for item in keys} for one in (then, now))
    if a != b:
        lost, new = (_some(sorted({item for _, item in one})) for one in (a - b, b - a))
        return [f"{name}: other items or scales (only then: {lost}; only now: {new})"]
    if then.responses != now.responses:
        return [f"{name}: {then.responses} responses then, {now.responses} now"]
    return []


def changes(then: Baseline, now: Baseline) -> list[tuple[str, str]]:
    """What is asked in other words, or scored by another key, under the same version of a task: where, and what."""
    found: list[tuple[str, str]] = []
    for task in then.tasks.keys() & now.tasks.keys():
        a, b = then.tasks[task], now.tasks[task]
        turned = [item for trait, keys in a.keys.items() for item, key in keys.items()
                  if b.keys.get(trait, {}).get(item, key) != key]  # fmt: skip
        if turned:
            found.append((f"{task}: keys", f"another key: {_some(turned)}"))
        if a.requests != b.requests:
            found.append((f"{task}: what is asked", "other words or options under the same version"))
        elif apart := [c for c in a.prompts if b.prompts.get(c) != a.prompts[c]]:
            found.append((f"{task}{PROMPTS}", f"other prompts under {_some(apart)}"))
    if then.suite.messages != now.suite.messages:
        found.append(("controls: messages", f"{then.suite.method} says something else"))
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
