"""Projection monitoring: how far the texts of a run lie along the direction of a stored control.

After Chen et al. (2025): what a model is about to do, or did, shows in the projection of its activations on a persona
vector. A reply is read by teacher forcing and its projection is the mean over its tokens; of a prompt it is that of the
last token. Each condition is read twice: by the model as it is, which tells what was said, and under the condition's
own control, which tells what the control does inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench import controls
from traitbench.backends import BACKENDS
from traitbench.backends.models import ModelSpec, resolve
from traitbench.backends.weights import known_as, locate
from traitbench.errors import BadData, UnsupportedControl
from traitbench.progress import Progress
from traitbench.runs import stored
from traitbench.runs.finished import Graded, current, graded
from traitbench.runs.plan import Plan
from traitbench.runs.projected import Along, Of, Projections, Read, Row, keep
from traitbench.runs.projections.controlled import made_by
from traitbench.runs.projections.texts import Group, Shown, groups
from traitbench.samples import BASELINE, Condition
from traitbench.statistics.intervals import stratified_mean
from traitbench.types import Control

if TYPE_CHECKING:
    from traitbench.backends.hf import HuggingFace

__all__ = ["axes_of", "measured", "project"]

Array = NDArray[np.float64]


class Aimed(NamedTuple):
    """A control whose directions texts are projected on, and what it aims at."""

    aim: str | None
    control: Control


class Axis(NamedTuple):
    """What texts are projected on."""

    control: int
    """Which of the controls its direction is of."""
    layer: int
    direction: Array
    """Of length 1, (width,)."""


def project(
    named: str,
    on: Sequence[Path],
    of: Of,
    to: Path | None,
    limit: int | None,
    tell: Callable[[str], None],
    progress: Progress,
) -> list[tuple[Projections, Path]]:
    """Project the texts of every results file of a run that counts, and write what was found beside it, or into `to`.

    `on` are folders of controls; none: those of the run's own that have a direction. UnsupportedControl for a control
    without a direction on the residual stream, and for a run whose model has no activations to look into, without
    replies or without prompts; BadData for a control of another model.
    """
    onto = dict(map(_read, on))
    out = []
    for path in current(named, tell):
        found = graded(path)
        plan = Plan.model_validate({**found.kept.config, "backend": "auto"})
        spec = _model(found, plan, path)
        for where, (_, control) in onto.items():
            stored.check_weights(control, spec, where)
        some = groups(found.samples, of, limit, path)
        own, notes = made_by(some, found.kept, path.parent)
        silent = [c.name for c in found.kept.conditions if c.name not in {group.condition for group in some}]
        notes += [f"{', '.join(silent)}: no reply that can be read"] if silent else []
        for note in notes:
            tell(note)
        aimed = [*onto.values()] or _own(own, found.kept.conditions, path)
        axes = [Axis(n, layer, a) for n, (_, c) in enumerate(aimed) for layer, a in axes_of(c, str(path)).items()]
        backend = _loaded(spec, plan)
        try:
            layers = _layers(backend, some, own, axes, progress)
        finally:
            backend.close()
        made = [
            Projections(
                run=path.name, model=found.kept.model_name, control=control.hash,
                method=control.fit.method if control.fit else None, aim=aim, of=of,
                layers=[along for axis, along in zip(axes, layers, strict=True) if axis.control == n], notes=notes,
            )
            for n, (aim, control) in enumerate(aimed)
        ]  # fmt: skip
        file = keep(path, made, to)
        out += [(one, file) for one in made]
    return out


def _read(place: Path) -> tuple[str, Aimed]:
    """A control that is named, by where it lies."""
    if not (place / "control.json").is_file():
        raise BadData(
            f"--on {place} is no control (control.json); expected the folder of one, as `traitbench fit` prints it"
        )
    control = stored.read(place)
    axes_of(control, str(place))
    return str(place), Aimed(control.target.name if control.target else None, control)


def _own(own: Mapping[str, Control], conditions: Sequence[Condition], path: Path) -> list[Aimed]:
    """The run's own controls that have a direction, one a target."""
    found: dict[str, Aimed] = {}
    for condition in conditions:
        control = own.get(condition.control_hash or "")
        if control is not None and condition.headline and any(edit.site == "residual" for edit in control.edits):
            found.setdefault(condition.name, Aimed(condition.name, control))
    if not found:
        raise UnsupportedControl(
            f"the controls of {path} hold no direction on the residual stream to project on; name one: --on DIR, the "
            "folder of a control that persona_vectors, residual, vector or bipo made"
        )
    return [*found.values()]


def axes_of(control: Control, where: str) -> dict[int, Array]:
    """The directions of a control's edits: layer -> a vector of length 1 that points to what it aims at.

    UnsupportedControl where it has none: no edit along a whole vector of the residual stream, or a vector of zeros.
    """
    tensors, axes = controls.arrays(control), dict[int, Array]()
    for edit in control.edits:
        if edit.site != "residual" or edit.tensor is None or edit.units is not None or edit.op == "clamp":
            continue
        vector = tensors[edit.tensor].astype(np.float64)
        axes[edit.layer] = axes.get(edit.layer, 0.0) + (-vector if edit.strength < 0 else vector)
    if control.fit is not None and control.fit.details.get("increments"):
        # What each layer holds lies beyond what the layers before it added.
        axes = dict(zip(sorted(axes), np.cumsum([axes[layer] for layer in sorted(axes)], axis=0), strict=True))
    axes = {layer: vector / np.linalg.norm(vector) for layer, vector in sorted(axes.items()) if vector.any()}
    if not axes:
        raise UnsupportedControl(
            f"{where} holds no direction to project on; expected a control that edits the residual stream along one, "
            "as persona_vectors, residual, vector and bipo make"
        )
    return axes


def _model(found: Graded, plan: Plan, path: Path) -> ModelSpec:
    """The model of a run, which must have the weights that answered."""
    spec = resolve(plan.model, plan.model_args)
    if spec.backend != "hf":
        raise UnsupportedControl(
            f"{path} is a run of {spec.label}, which has no activations to look into; expected a run of a language "
            "model whose weights are at hand"
        )
    if revision := plan.model_args.get("revision"):
        spec = spec.model_copy(update={"revision": str(revision)})
    weights, then = locate(spec), found.kept.model.get("weights")
    # A commit stood for the files of a model of the hub once, and still means them.
    here = known_as(spec, weights).get("weights")
    if then not in (None, here, weights.revision):
        raise BadData(f"{path}: {plan.model} answered with the weights {then}, and those here are {here}")
    return spec


def _loaded(spec: ModelSpec, plan: Plan) -> HuggingFace:
    kind: Any = BACKENDS.load(spec.backend)
    options = plan.options()
    taken = {key: value for key, value in options.arguments.items() if key in kind.Arguments.model_fields}
    made: HuggingFace = kind.make(spec, options.model_copy(update={"arguments": taken, "batch_size": None}))
    return made


def _layers(
    backend: HuggingFace, some: Sequence[Group], own: Mapping[str, Control], axes: Sequence[Axis], progress: Progress
) -> list[Along]:
    """Read every group alone and, where its control is at hand, under it; one for each axis."""
    read: dict[tuple[str, Read], list[tuple[Shown, Array]]] = {}
    total = sum(len(group.plain) + len(group.own) for group in some)
    step = progress.begin("projections", total)
    for group in some:
        texts = group.own if group.control is None else group.plain
        if group.control is None or texts[0].reply is not None:
            read.setdefault((group.condition, "alone"), []).extend(
                zip(texts, measured(backend, texts, axes, None), strict=True)
            )
        step(len(texts))
        if group.control is not None and group.control in own:
            values = measured(backend, group.own, axes, own[group.control])
            read.setdefault((group.condition, "controlled"), []).extend(zip(group.own, values, strict=True))
        step(len(group.own))
    return [_along(axis.layer, {key: [(s, float(v[n])) for s, v in values] for key, values in read.items()})
            for n, axis in enumerate(axes)]  # fmt: skip


def measured(backend: HuggingFace, texts: Sequence[Shown], axes: Sequence[Axis], control: Control | None) -> Array:
    """Project texts under the edits and the adapter of `control`, (texts, axes): over a reply, or at a prompt's end."""
    from traitbench.backends.packing import Item

    bare = control.model_copy(update={"messages": ()}) if control is not None else None
    if not texts:
        return np.zeros((0, len(axes)))
    layers = sorted({axis.layer for axis in axes})
    with backend.under(bare):
        if texts[0].reply is None:
            items = [Item(backend.renderer.encode(text.prompt), ()) for text in texts]
            states = backend.states(items, "residual", layers).astype(np.float64)
            return np.stack([states[:, layers.index(axis.layer)] @ axis.direction for axis in axes], axis=1)
        sums, counts = np.zeros((len(texts), len(axes))), np.zeros(len(texts))

        def sink(layer: int, activations: Any, whose: Any) -> None:
            mine = [n for n, axis in enumerate(axes) if axis.layer == layer]
            if not mine:
                return
            along = activations.float().cpu().numpy().astype(np.float64)
            owner = whose.cpu().numpy()
            for n in mine:
                np.add.at(sums[:, n], owner, along @ axes[n].direction)
            if layer == layers[0]:
                np.add.at(counts, owner, 1)

        backend.behind([(text.prompt, text.reply or "") for text in texts], "residual", sink, lambda n: None)
    return sums / counts[:, None]


def _along(layer: int, read: Mapping[tuple[str, Read], Sequence[tuple[Shown, float]]]) -> Along:
    """Sum up one layer: means over items, and shifts from the baseline over the items of both."""
    base = read.get((BASELINE, "alone"), ())
    spread = float(np.std([value for _, value in base], ddof=1)) if len(base) > 1 else 0.0
    reference = _items(base)
    rows = []
    for (condition, how), values in read.items():
        mine = _items(values)
        here = _mean(list(mine.values()))
        apart = [mine[item] - reference[item] for item in mine if item in reference] if condition != BASELINE else []
        shift = _mean(apart) if apart else (None, None)
        assert here[0] is not None
        rows.append(
            Row(
                condition=condition, read=how, texts=len(values), items=mine, value=here[0], ci=here[1],
                shift=shift[0], shift_ci=shift[1],
                sds=shift[0] / spread if shift[0] is not None and spread > 0 else None,
            )
        )  # fmt: skip
    return Along(layer=layer, sd=spread or None, rows=rows)


def _items(values: Sequence[tuple[Shown, float]]) -> dict[str, float]:
    """Item -> the mean of its texts."""
    held: dict[str, list[float]] = {}
    for shown, value in values:
        held.setdefault(shown.item, []).append(value)
    return {item: float(np.mean(some)) for item, some in held.items()}


def _mean(values: Sequence[float]) -> tuple[float | None, tuple[float, float] | None]:
    found = stratified_mean(values, [1] * len(values))
    return found.value, found.ci
