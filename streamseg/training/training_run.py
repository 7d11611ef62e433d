"""A run in its folder: read the data, take step after step, keep checkpoints, figures and weights.

recipe.yaml              the recipe, with every default written out
checkpoint.safetensors   all that ``--resume`` needs
weights.safetensors      what ``--model tiny --checkpoint`` takes; the running mean, float16
metrics.jsonl            a line every few steps
curves.png
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import torch
import yaml

from streamseg.errors import CheckpointError, OutputError
from streamseg.regular_files import write_own
from streamseg.sam import devices
from streamseg.training import checkpoint, executors, network, validation
from streamseg.training.curves import MetricMeans, MetricsLog, Row
from streamseg.training.data import datasets
from streamseg.training.data.datasets import Datasets
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.recipe import Recipe, difference
from streamseg.training.schedule import rate
from streamseg.training.trainer import Trainer

CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "weights.safetensors"

Ended = Literal["finished", "steps", "time limit", "interrupted"]


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended."""

    ended: Ended
    """``steps``: at the number of steps the caller gave; the others speak for themselves."""
    steps: int
    of_steps: int
    seconds: float
    """Of this part of the run."""
    weights: str
    metrics: Row
    """The last line of figures."""


class TrainingRun:
    """A run that has read its data and is ready to go on. Changes torch's and OpenCV's number of threads.

    Args:
        recipe: what to do.
        output: folder of the run.
        resume: go on from the checkpoint in it.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        tell: is given lines for people.

    Raises:
        UsageError: the data are not what the recipe says, or the recipe is not the one the run began with.
        MediaError: data cannot be read.
        CheckpointError: the weights to start from, or the checkpoint, cannot be read.
        DeviceError: no such device.
        OutputError: the folder holds another run, or cannot be written.
    """

    def __init__(self, recipe: Recipe, output: Path, *, resume: bool, device: str, tell: Callable[[str], None]) -> None:
        self._recipe, self._output, self._tell = recipe, output, tell
        self._device = devices.resolve(device)
        if not resume and (output / CHECKPOINT).exists():
            raise OutputError(f"{output} holds an earlier run; add --resume to go on with it, or choose another folder")
        state = _state_to_resume(recipe, output) if resume else None
        _set_up(self._device, recipe.running.threads)
        self._executor = executors.make_executor(recipe.running.workers)
        try:
            data = datasets.read(recipe.data, self._executor)
            tell(_summary(data))
            self._held_out = validation.choose_objects(data.image_sets, recipe.running.validate_objects)
            model = network.TrainingModel(
                network.build(recipe.start_from, recipe.seed), self._device, recipe.training.precision
            )
            self._trainer = Trainer(recipe, SceneSampler(data, recipe), model, self._executor)
            if state is not None:
                self._trainer.restore(state)
                tell(f"going on from step {state.step}")
            _prepare_folder(recipe, output)
            self._metrics = MetricsLog(output, self._trainer.step)
        except BaseException:
            self.close()
            raise
        self._means = MetricMeans()

    def close(self) -> None:
        """Let go of the threads."""
        self._executor.shutdown(cancel_futures=True)

    def run(self, stop: Callable[[], bool], until: int | None = None) -> Outcome:
        """Take steps until the schedule ends, it is stopped, or its time is up; then save.

        Args:
            stop: asked before every step.
            until: end at this step, though the schedule may be longer.

        Raises:
            DeviceError: out of memory.
            OutputError: a result cannot be written.
        """
        trainer, running = self._trainer, self._recipe.running
        of_steps = self._recipe.training.steps
        last = of_steps if until is None else min(until, of_steps)
        limit_s = None if running.time_limit_min is None else running.time_limit_min * 60
        begun_s = time.monotonic()
        logged_s, logged = begun_s, trainer.step
        ended: Ended = "finished" if last == of_steps else "steps"
        while trainer.step < last:
            if stop():
                ended = "interrupted"
                break
            if limit_s is not None and time.monotonic() - begun_s > limit_s:
                ended = "time limit"
                break
            with devices.memory_guard(self._device, "use a smaller training.batch, or --device cpu"):
                self._means.add(trainer.advance())
            done = trainer.step
            if done % running.log_every == 0 or done == last or self._validates(done):
                now_s = time.monotonic()
                self._log((now_s - logged_s) / max(1, done - logged))
                logged_s, logged = now_s, done
            if done % running.save_every == 0:
                self._save()
        self._save()
        metrics = self._metrics.rows[-1] if self._metrics.rows else {}
        seconds = round(time.monotonic() - begun_s, 1)
        return Outcome(ended, trainer.step, of_steps, seconds, str(self._output / WEIGHTS), metrics)

    def _validates(self, step: int) -> bool:
        every = self._recipe.running.validate_every
        return bool(every and self._held_out) and (step % every == 0 or step == self._recipe.training.steps)

    def _log(self, seconds_per_step: float) -> None:
        step, training = self._trainer.step, self._recipe.training
        row: Row = {
            "step": step,
            "learning_rate": round(training.learning_rate * rate(step - 1, training), 8),
            "seconds_per_step": round(seconds_per_step, 3),
            **self._means.take(),
        }
        if self._validates(step):
            with self._trainer.measured() as model:
                row["validation_iou"] = round(validation.mean_iou(model, self._held_out), 4)
        self._metrics.add(row)
        shown = {name: value for name, value in row.items() if name not in ("step", "learning_rate")}
        self._tell(f"step {step}/{training.steps}  " + "  ".join(f"{k} {v:g}" for k, v in shown.items()))

    def _save(self) -> None:
        state = self._trainer.state()
        checkpoint.write(self._output / CHECKPOINT, state)
        kept = network.to_float16(self._trainer.kept())
        checkpoint.write_tensors(self._output / WEIGHTS, kept, {"streamseg.step": str(state.step)})
        self._metrics.draw()


def _state_to_resume(recipe: Recipe, output: Path) -> checkpoint.RunState:
    state = checkpoint.read(output / CHECKPOINT)
    changed = difference(state.recipe, recipe)
    if changed is not None:
        raise CheckpointError(
            f"{output / CHECKPOINT} was made with another recipe: {changed}; only 'running' may change between a run "
            f"and its resumption; start_from: {output / WEIGHTS} begins a new run from there"
        )
    return state


def _prepare_folder(recipe: Recipe, output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(msgspec.to_builtins(recipe), sort_keys=False)
        write_own(output / "recipe.yaml", text.encode())
    except OSError as error:
        raise OutputError(
            f"expected to write to the folder {output}, got: {error.strerror or error}; choose another folder"
        ) from error


def _set_up(device: str, threads: int) -> None:
    # Pictures are small, and as many threads as pay make them side by side.
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)
    if device.startswith("cuda"):
        # What cuBLAS wants for results that do not vary; read when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False


def _summary(data: Datasets) -> str:
    photos = sum(len(each.training) for each in data.image_sets)
    objects = sum(len(photo.objects) for each in data.image_sets for photo in each.training)
    held_out = sum(len(each.held_out) for each in data.image_sets)
    parts = [f"{photos} photos with {objects} objects ({held_out} photos held out)"] if data.image_sets else []
    if data.videos:
        parts.append(f"{len(data.videos)} films")
    return "training on " + ", ".join(parts)
