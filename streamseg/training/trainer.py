"""The trainer: one step after the other, all of it a function of the recipe, the data and the number of the step."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future

import torch

from streamseg.errors import CheckpointError
from streamseg.training import schedule
from streamseg.training.checkpoint import RunState
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.ema import ExponentialMovingAverage
from streamseg.training.network import TrainingModel
from streamseg.training.recipe import Recipe
from streamseg.training.seeding import Purpose, generator
from streamseg.training.steps import StepResult, view_step, whole_image_step
from streamseg.training.tasks import whole_image_tasks
from streamseg.training.tasks.slots import Slots

_log = logging.getLogger("streamseg.training")

_TRUNK = ("enc.a.", "enc.b.", "enc.c.")
_MODEL, _AVERAGE, _START, _OPTIMIZER = "model.", "average.", "start.", "optimizer."


class Trainer:
    """A network, its optimizer and the episodes in progress.

    Args:
        recipe: what is done in a step.
        sampler: what is drawn from.
        model: the network.
        executor: makes the pictures.
    """

    def __init__(self, recipe: Recipe, sampler: SceneSampler, model: TrainingModel, executor: Executor) -> None:
        self.recipe, self.model = recipe, model
        self.step = 0
        """Steps that are done."""
        self.average = ExponentialMovingAverage(model.network)
        self._start = dict(ExponentialMovingAverage(model.network).weights) if recipe.training.start_share else {}
        self._sampler, self._executor = sampler, executor
        self._parameters = dict(model.network.named_parameters())
        self._optimizer = _optimizer(recipe, self._parameters)
        batch, groups = recipe.training.batch, recipe.training.ahead + 1
        self._slots = [
            Slots(
                sampler,
                recipe.seed,
                range(group * batch, (group + 1) * batch),
                batch * groups,
                recipe.scenes.gone,
                executor,
            )
            for group in range(groups)
        ]
        self._prepared: dict[int, list[Future[whole_image_tasks.WholeImageTask | None]]] = {}
        self._set_mode()

    def advance(self) -> dict[str, list[float]]:
        """One step; figures for the curves, by name.

        A batch without any object, or with a gradient that is not finite, changes nothing; the latter is warned of.
        """
        training = self.recipe.training
        plan = schedule.plan(self.step, self.recipe.seed, training)
        self.model.train_encoder(plan.trains_encoder)
        result = self._whole_image_step() if plan.kind == "whole" else self._view_step(plan.refines)
        figures: dict[str, list[float]] = {} if result is None else result.figures
        if result is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = group["initial_lr"] * schedule.rate(self.step, training)
            self._optimizer.zero_grad(set_to_none=True)
            result.loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), training.clip_norm)
            if torch.isfinite(norm):
                self._optimizer.step()
                self.average.update(self.model.network, schedule.average_decay(self.step, training))
                figures["gradient_norm"] = [float(norm)]
            else:
                _log.warning("step %d: the gradient is not finite; left out", self.step)
        self.step += 1
        return figures

    def state(self) -> RunState:
        """All there is to go on from here."""
        tensors = {_MODEL + name: value for name, value in self.model.network.state_dict().items()}
        tensors |= {_AVERAGE + name: value for name, value in self.average.weights.items()}
        tensors |= {_START + name: value for name, value in self._start.items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"{_OPTIMIZER}{key}.{name}"] = value
        # Copies: training may go on before they are written.
        kept = {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}
        return RunState(self.recipe, self.step, kept, [slots.states for slots in self._slots])

    def restore(self, state: RunState) -> None:
        """Go on from a state of a run with the same recipe.

        Raises:
            CheckpointError: the state is of another network.
        """
        try:
            self.model.network.load_state_dict(_under(_MODEL, state.tensors))
            self.average.restore(_under(_AVERAGE, state.tensors))
            for name, value in self._start.items():
                value.copy_(state.tensors[_START + name])
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(f"the checkpoint is of another network: {str(error).splitlines()[0]}") from error
        self._optimizer.state.clear()
        for key in ("step", "exp_avg", "exp_avg_sq"):
            for name, value in _under(f"{_OPTIMIZER}{key}.", state.tensors).items():
                parameter = self._parameters[name]
                own = value.clone() if key == "step" else torch.empty_like(parameter).detach().copy_(value)
                self._optimizer.state[parameter][key] = own
        for slots, states in zip(self._slots, state.episodes, strict=True):
            slots.restore(states)
        self.step = state.step
        self._prepared.clear()

    def kept(self) -> dict[str, torch.Tensor]:
        """The weights a run is for: their running mean, mixed with those it started from."""
        share = self.recipe.training.start_share
        return {
            name: value.lerp(self._start[name], share) if share and value.is_floating_point() else value
            for name, value in self.average.weights.items()
        }

    @contextlib.contextmanager
    def measured(self) -> Iterator[TrainingModel]:
        """The network with the weights that are kept, inside the block."""
        network = self.model.network
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.kept())
        network.eval()
        try:
            yield self.model
        finally:
            network.load_state_dict(own)
            self._set_mode()

    def _set_mode(self) -> None:
        self.model.network.eval()
        if self.recipe.training.batch_norm == "learned":
            self.model.network.enc.train()

    def _view_step(self, refines: bool) -> StepResult:
        slots = self._slots[self.step % len(self._slots)]
        tasks = slots.tasks()
        if len(self._slots) > 1:
            self._prepare_next()
        rng = generator(self.recipe.seed, Purpose.REFINEMENT, self.step) if refines else None
        result = view_step(self.model, tasks, rng, self.recipe.training.correction_share)
        slots.update(tasks, [(each.logits, each.iou) for each in result.predictions], result.pooled)
        self._prepare_next()
        return result

    def _whole_image_step(self) -> StepResult | None:
        self._prepare_whole_images(self.step)
        found = [future.result() for future in self._prepared.pop(self.step)]
        self._prepare_next()
        tasks = [task for task in found if task is not None]
        return whole_image_step(self.model, tasks) if tasks else None

    def _prepare_next(self) -> None:
        """Have the pictures of the next step made while this one is computed, as far as they are known."""
        if not self.recipe.running.workers:
            return
        following = self.step + 1
        if schedule.plan(following, self.recipe.seed, self.recipe.training).kind == "whole":
            self._prepare_whole_images(following)
        else:
            self._slots[following % len(self._slots)].prepare()

    def _prepare_whole_images(self, step: int) -> None:
        if step not in self._prepared:
            seed = self.recipe.seed
            self._prepared[step] = [
                self._executor.submit(
                    whole_image_tasks.sample_task, self._sampler, generator(seed, Purpose.WHOLE_IMAGE, step, number)
                )
                for number in range(self.recipe.training.whole_photos)
            ]


def _optimizer(recipe: Recipe, parameters: Mapping[str, torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for the encoder's trunk; biases and the scales of normalizations do not decay."""
    training = recipe.training
    groups = []
    for in_trunk, rate in ((True, training.encoder_learning_rate), (False, training.learning_rate)):
        for decays in (True, False):
            members = [
                each
                for name, each in parameters.items()
                if name.startswith(_TRUNK) == in_trunk and (each.ndim > 1) == decays
            ]
            decay = training.weight_decay if decays else 0.0
            groups.append({"params": members, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), foreach=True)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
