"""`--control`: controls that were fitted before, taken by their folders and measured as the method that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench import controls
from traitbench.backends.weights import known_as, locate
from traitbench.controls.wearing import check_adapter
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import user_path
from traitbench.methods.stored import Stored
from traitbench.runs.aims import targets
from traitbench.tasks import for_target
from traitbench.tasks.task import Task
from traitbench.types import TRAITS, Control, Fit, Target, at_strength, is_name

if TYPE_CHECKING:
    from traitbench.backends.models import ModelSpec
    from traitbench.runs.plan import Given, Plan, Prepared
    from traitbench.targets.persons import Participants

__all__ = ["aims", "check_model", "check_shapes", "check_weights", "folders", "read", "remarks", "taken"]

_FILE = "control.json"
_EXPECTED = "expected the folder of a control, as `traitbench fit` prints it, or a folder of such folders"
_ELSEWHERE = frozenset({"backend", "model", "source", "weights", "revision", "vllm", "compiled"})
"""Parts of an identity that say who computes, or name the weights, which are held against each other by themselves."""
_DOES = {"add": "adds", "clamp": "clamps", "zero": "zeroes", "project_out": "projects out", "cap": "caps",
         "rescale": "rescales"}  # fmt: skip


def folders(given: Sequence[str]) -> list[Path]:
    """The folders of the controls that `--control` names: each itself, or all in it; BadData where there is none."""
    found: list[Path] = []
    for name in given:
        place = user_path(name)
        mine = [place] if (place / _FILE).is_file() else sorted(path.parent for path in place.glob(f"*/{_FILE}"))
        if not mine:
            raise BadData(f"--control {name}: {_missing(place)}; {_EXPECTED}")
        found += [each for each in mine if each.resolve() not in {other.resolve() for other in found}]
    return found


def _missing(place: Path) -> str:
    """Say what stands in the place of a control."""
    if not place.exists():
        return "there is no such folder"
    if place.suffix.lower() in (".gguf", ".pt", ".pth"):
        return f"a steering vector is no control; it becomes one with --method vector --method_args file={place}"
    if (place.parent / _FILE).is_file():
        return f"this is a part of the control {place.parent}"
    if (place / "adapter_config.json").is_file():
        return f"a PEFT adapter is no control; it becomes one with --method adapter --method_args folder={place}"
    if (place / "run.json").is_file() or any(place.glob("results_*.json")):
        return "this is the folder of a run, which holds answers and no control"
    return f"it holds no control ({_FILE})"


def read(place: Path) -> Control:
    """Read a control with its fit and its target.

    BadData where a file is missing or damaged, where nothing says how it came about, and where a folder that is named
    by a hash holds something else.
    """
    control = controls.read(place)
    if control.fit is None:
        raise BadData(f"{place} holds no method.json, which says what the control is and what it aims at; {_EXPECTED}")
    chosen = control.fit.strength
    meant = control.edits if chosen is None else at_strength(control.edits, chosen)
    if other := [edit for edit, as_chosen in zip(control.edits, meant, strict=True) if edit != as_chosen]:
        raise BadData(
            f"{place}: {_FILE} {_DOES[other[0].op]} at strength {other[0].strength:g}, and method.json says that "
            f"{chosen:g} was chosen; fit it again, or put it back and ask for others with --coefs"
        )
    return control.model_copy(update={"target": _target(place, control.fit)})


def _target(place: Path, fit: Fit) -> Target | None:
    """What a fit aimed at. Of a person there is the name alone: the answers are no part of a control."""
    name = fit.target
    if name is None:
        return None
    word, colon, rest = name.partition(":")
    if colon and word == "character":
        return Target(character=rest)
    if colon and word == "person":
        return Target.model_validate({"person": {"id": rest, "inventory": "", "answers": {}}})
    traits = [trait for part in name.split(",") if is_name(trait := part.partition("=")[0])]
    try:
        return Target.parse(name, dict.fromkeys((*TRAITS, *traits)))
    except ValueError as error:
        raise BadData(f"{place}/method.json: the target {name!r} cannot be read ({error}); fit it again") from None


def taken(plan: Plan, given: Given) -> tuple[Plan, Given]:
    """Read the controls of `plan` and put what they say into it: their method, and what they aim at.

    TraitbenchUsage where the plan says otherwise, and where they are not of one method with the same settings; BadData
    for what is no control.
    """
    held = {place: read(place) for place in folders(plan.control)}
    (first, one), *others = held.items()
    fit = _fit(one)
    for place, other in others:
        if apart := _apart(fit, _fit(other)):
            raise TraitbenchUsage(
                f"--control: a run is of one method, and {first} and {place} differ in {apart}; run them one by one"
            )
    named: dict[str | None, Path] = {}
    for place, other in held.items():
        if (before := named.setdefault(_fit(other).target, place)) != place:
            raise TraitbenchUsage(
                f"--control: {before} and {place} both aim at {_fit(other).target}; run them one by one and "
                "`traitbench compare` them"
            )
    _check_said(plan, given, fit, first)
    method = Stored([*held.values()], typed=plan.target is not None)
    said: dict[str, Any] = {"method": fit.method, "method_args": {}}
    aimed = [control.target for control in held.values() if control.target]
    if plan.target is None and aimed:
        if person := next((aim.name for aim in aimed if aim.person), None):
            raise TraitbenchUsage(
                f"--control {first}: it aims at {person}, whose answers are not in it; say where they are with "
                "--target person:papi, person:sd3 or person:FILE"
            )
        characters = [aim.character for aim in aimed if aim.character]
        if len(characters) == len(aimed):
            said["target"] = f"character:{','.join(filter(None, characters))}"
        elif len(aimed) == 1:
            said["target"] = aimed[0].name
        if "tasks" not in plan.model_fields_set and (task := for_target(said.get("target", ""))):
            said["tasks"] = (task,)
    return plan.model_copy(update=said), given._replace(method=method)


def _fit(control: Control) -> Fit:
    assert control.fit is not None
    return control.fit


def _apart(one: Fit, other: Fit) -> str:
    """What two fits differ in besides their targets and seeds; empty where they are of one run."""
    if (one.method, one.version) != (other.method, other.version):
        return f"the method ({one.method} {one.version}, {other.method} {other.version})"
    names = sorted(k for k in one.config.keys() | other.config.keys() if one.config.get(k) != other.config.get(k))
    if names:
        return ", ".join(f"{k} ({one.config.get(k)}, {other.config.get(k)})" for k in names)
    weights = [fit.model.get("weights") for fit in (one, other)]
    return "" if weights[0] == weights[1] else f"the model ({_model(one)}, {_model(other)})"


def _check_said(plan: Plan, given: Given, fit: Fit, place: Path) -> None:
    """Refuse what the plan says of the method where the control says otherwise."""
    told = f"--control {place}: it was made by {fit.method}"
    if given.method is not None or ("method" in plan.model_fields_set and plan.method != fit.method):
        raise TraitbenchUsage(f"{told}, and --method {plan.method} was given; leave --method out")
    for name, value in plan.model_dump(mode="json")["method_args"].items():
        if name not in fit.config or fit.config[name] != value:
            was = f"{name}={fit.config[name]}" if name in fit.config else f"no {name}"
            raise TraitbenchUsage(f"{told} with {was}, and --method_args {name}={value} was given; leave it out")
    if plan.fit_seeds > 1:
        raise TraitbenchUsage(f"--fit_seeds {plan.fit_seeds}: {place} is fitted already; leave it out, or --control")


def aims(
    plan: Plan, method: Stored, tasks: Sequence[Task], participants: Participants | None
) -> tuple[list[Target | None], Participants | None]:
    """The targets of the stored controls, as `--target` says them where it was given, and the persons among them.

    TraitbenchUsage where it asks for others than the controls aim at; of persons it may name more, who are left out.
    """
    kept = {name: control.target for name, control in method.held.items()}
    if not method.typed and participants is None:
        return list(kept.values()), None
    asked = {aim.name if aim else None: aim for aim in targets(plan.target, method, tasks, participants, plan.seed)}
    stray = [name for name in kept if name not in asked]
    missing = [] if participants is not None else [name for name in asked if name not in kept]
    if stray or missing:
        raise TraitbenchUsage(
            f"--control: the controls aim at {_some(kept)}, and "
            + (f"--target {plan.target} at {_some(asked)}" if plan.target else f"{tasks[0].id} is of {_some(asked)}")
            + "; leave --target out, or name what they aim at"
        )
    persons = [aim.person.id for name, aim in asked.items() if name in kept and aim and aim.person]
    return (
        [aim for name, aim in asked.items() if name in kept],
        participants.only(persons) if participants is not None else None,
    )


def _some(names: Mapping[str | None, Any]) -> str:
    told = [str(name) for name in names]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def check_model(prepared: Prepared) -> None:
    """Refuse, before it is loaded, a model other than the one that the plan's stored controls were fitted on.

    Messages go with any model.
    """
    if not isinstance(prepared.method, Stored):
        return
    revision = prepared.plan.model_args.get("revision")
    spec = prepared.spec.model_copy(update={"revision": str(revision)}) if revision else prepared.spec
    for control in prepared.method.held.values():
        check_weights(control, spec)


def check_weights(control: Control, spec: ModelSpec, where: str = "") -> None:
    """Hold the weights of `spec` against those that the edits or the adapter of `control` were fitted on: BadData.

    Of an adapter from elsewhere these are not known, and shapes must do. `where` names the control in the message.
    """
    fit = _fit(control)
    if not (control.edits or control.adapter):
        return
    weights, wanted = locate(spec), fit.model.get("weights")
    if wanted is None:
        from traitbench.backends.loading import skeleton

        check_shapes(skeleton(spec, weights), control)
        return
    found = known_as(spec, weights)
    # A commit stood for the files of a model of the hub once, and still means them.
    if wanted not in (found["weights"], weights.revision):
        raise BadData(
            f"{where or 'the control'} was fitted on {_model(fit)} ({wanted}), and {spec.name} is {found['model']} "
            f"({found['weights']}); expected the same weights: give its model with --model, or fit it on this one"
        )


def check_shapes(model: Any, control: Control) -> None:
    """Hold what a control holds against a model, which may be without its weights: BadData for another model's."""
    from traitbench.controls.edits import merge

    merge(model, control.edits, controls.arrays(control))
    if control.adapter:
        check_adapter(model, control)


def _model(fit: Fit) -> str:
    return str(fit.model.get("source") or fit.model.get("model") or "an unknown model")


def remarks(method: object, identity: Mapping[str, Any]) -> list[str]:
    """Say in what a model, by its `identity`, is run otherwise than when its stored controls were fitted."""
    if not isinstance(method, Stored):
        return []
    made = _fit(next(iter(method.held.values()))).model
    apart = [name for name in made if name in identity and name not in _ELSEWHERE and made[name] != identity[name]]
    return [f"the controls were fitted with {name} {made[name]}, and measured with {identity[name]}" for name in apart]
