"""Whole runs in this process: what is learned, what is kept, and that it goes on exactly."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.training_data import painted, plain_recipe, shape, write_film

from streamseg.errors import CheckpointError, OutputError
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.training import executors, schedule
from streamseg.training.data import datasets
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.network import TrainingModel, build, to_float16
from streamseg.training.recipe import parse
from streamseg.training.seeding import Purpose
from streamseg.training.steps import view_step
from streamseg.training.tasks.episodes import Episode
from streamseg.training.training_run import CHECKPOINT, WEIGHTS, TrainingRun


def train(recipe, output, *, resume=False, until=None, stop=lambda: False):
    lines: list[str] = []
    training_run = TrainingRun(parse(recipe), output, resume=resume, device="cpu", tell=lines.append)
    try:
        return training_run.run(stop, until), lines
    finally:
        training_run.close()


def same(first, second):
    one, other = load_file(first), load_file(second)
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, different[:5]
    return one


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """Four steps without a break, with views, whole photos and film."""
    films = tmp_path_factory.mktemp("films")
    write_film(films / "car", 6)
    recipe = plain_recipe(
        photos,
        data={"photos": [{"path": str(photos)}], "films": [{"path": str(films)}]},
        training={"precision": "bf16", "start_share": 0.3},
        running={"validate_every": 2, "validate_objects": 2},
    )
    folder = tmp_path_factory.mktemp("run") / "straight"
    outcome, lines = train(recipe, folder)
    return recipe, folder, outcome, lines


def test_a_run_leaves_what_it_says(finished):
    _, folder, outcome, lines = finished
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [CHECKPOINT, WEIGHTS, "curves.png", "metrics.jsonl", "recipe.yaml"]
    )
    assert (outcome.ended, outcome.steps, outcome.of_steps) == ("finished", 4, 4)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation_iou" in row] == [2, 4]
    assert outcome.metrics == rows[-1]
    assert lines[0] == "training on 10 photos with 10 objects (2 photos held out), 1 films"
    assert cv2.imread(str(folder / "curves.png")).shape == (600, 960, 3)


@pytest.mark.parametrize(("workers", "breaks"), [(0, (1, 3)), (2, (2,))])
def test_a_run_in_parts_is_a_run_at_once_to_the_last_bit(finished, tmp_path, workers, breaks):
    recipe, straight, _, _ = finished
    recipe = {**recipe, "running": {**recipe["running"], "workers": workers}}
    plans = [schedule.plan(step, 1, parse(recipe).training) for step in range(4)]
    assert all(len(set(each)) == 2 for each in zip(*plans, strict=True))
    for number, until in enumerate((*breaks, None)):
        train(recipe, tmp_path / "parts", resume=number > 0, until=until)
    tensors = same(tmp_path / "parts" / CHECKPOINT, straight / CHECKPOINT)
    assert {name.partition(".")[0] for name in tensors} >= {"model", "average", "start", "optimizer"}
    same(tmp_path / "parts" / WEIGHTS, straight / WEIGHTS)
    rows = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds_per_step"} for line in text.splitlines()]
        for text in ((f / "metrics.jsonl").read_text() for f in (tmp_path / "parts", straight))
    ]
    assert rows[0] == rows[1]


def test_episodes_in_progress_are_kept(finished, tmp_path):
    recipe, _, _, _ = finished
    train(recipe, tmp_path / "run", until=1)
    assert any(name.startswith("episode.") for name in load_file(tmp_path / "run" / CHECKPOINT))


def test_what_is_stored_keeps_its_names(finished, tmp_path):
    """A run that an earlier version began is resumed by these, whatever classes are called by now."""
    recipe, _, _, _ = finished
    train(recipe, tmp_path / "run", until=1)
    with safe_open(tmp_path / "run" / CHECKPOINT, framework="pt") as file:
        head = json.loads(file.metadata()["streamseg"])
        kinds = {name.partition(".")[0] for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    assert head.keys() == {"format", "recipe", "step", "episodes"}
    episodes = [episode for group in head["episodes"] for episode in group]
    assert all(episode.keys() == {"number", "moment", "gone_from", "belief"} for episode in episodes)
    beliefs = [episode["belief"] for episode in episodes if episode["belief"] is not None]
    assert beliefs
    assert all(belief.keys() == {"box", "point_xy", "region", "templates"} for belief in beliefs)
    assert kinds == {"model", "average", "start", "optimizer", "episode"}
    assert [(purpose.name, int(purpose)) for purpose in Purpose] == [
        *(("STEP", 0), ("EPISODE", 1), ("MOMENT", 2), ("WHOLE_IMAGE", 3), ("REFINEMENT", 4))
    ]


def test_batches_that_wait_for_each_other_resume_exactly_too(photos, tmp_path):
    recipe = plain_recipe(photos, training={"ahead": 1}, running={"workers": 2})
    train(recipe, tmp_path / "straight")
    train(recipe, tmp_path / "parts", until=3)
    train(recipe, tmp_path / "parts", resume=True)
    same(tmp_path / "parts" / CHECKPOINT, tmp_path / "straight" / CHECKPOINT)


def test_another_seed_is_another_run(finished, tmp_path):
    recipe, straight, _, _ = finished
    train({**recipe, "seed": 2}, tmp_path / "run", until=1)
    one, other = load_file(tmp_path / "run" / WEIGHTS), load_file(straight / WEIGHTS)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_weights_are_a_model_to_use(finished):
    """The packaged names and types, accepted by both halves, and no longer the packaged weights."""
    _, folder, _, _ = finished
    image, mask = painted(shape(0), 0), shape(0)
    y, x = np.nonzero(mask)
    prompt = DecoderPrompt(box_xyxy=(x.min(), y.min(), x.max() + 1.0, y.max() + 1.0))
    logits = []
    for checkpoint in (None, folder / WEIGHTS):
        features = load_encoder(checkpoint=checkpoint, device="cpu").encode([image])[0]
        decoder = load_decoder(checkpoint=checkpoint, device="cpu")
        logits.append(decoder.decode(features, image.shape[:2], [prompt], multimask=False).logits)
    difference = np.abs(logits[0] - logits[1])
    assert np.isfinite(logits[1]).all()
    assert difference.max() > 0.01
    assert {value.dtype for value in load_file(folder / WEIGHTS).values()} == {torch.float16, torch.int64}


def test_what_is_kept_can_be_mixed_with_the_start(photos, tmp_path):
    start, found = to_float16(build("packaged", 1).state_dict()), {}
    for share in (0.0, 0.25, 1.0):
        train(plain_recipe(photos, training={"start_share": share}), tmp_path / str(share), until=1)
        found[share] = load_file(tmp_path / str(share) / WEIGHTS)
    name = "dec.mask_tokens.weight"
    torch.testing.assert_close(found[1.0][name], start[name])
    assert not torch.equal(found[0.0][name], start[name])
    mixed = 0.25 * start[name].float() + 0.75 * found[0.0][name].float()
    torch.testing.assert_close(found[0.25][name].float(), mixed, atol=1e-3, rtol=1e-3)


def test_the_loss_falls(photos, tmp_path):
    """A decoder that has forgotten how to draw masks learns it again, for prompts that the run does not ask."""
    weights = build("packaged", 1).state_dict()
    for name, value in weights.items():
        if "hypernetworks" in name and ".layers.2." in name:
            value.zero_()
    save_file(to_float16(weights), tmp_path / "emptied.safetensors")
    recipe = plain_recipe(
        photos,
        start_from=str(tmp_path / "emptied.safetensors"),
        training={
            "steps": 16,
            "batch": 3,
            "learning_rate": 0.001,
            "average": 0.5,
            "whole_share": 0.0,
            "encoder_share": 0.0,
        },
        running={"log_every": 20},
    )
    read = parse(recipe)
    sampler = SceneSampler(datasets.read(read.data, executors.make_executor(0)), read)
    found = [Episode(sampler, 99, number, 0.0) for number in range(12)]
    tasks = [episode.next_task() for episode in found if episode.usable]
    train(recipe, tmp_path / "run")
    losses = []
    for start_from in (read.start_from, str(tmp_path / "run" / WEIGHTS)):
        model = TrainingModel(build(start_from, read.seed), "cpu", "float32")
        with torch.no_grad():
            losses.append(float(view_step(model, tasks, None, 0.0).loss))
    assert losses[1] < 0.65 * losses[0], losses


def test_a_folder_with_a_run_is_left_alone(finished):
    recipe, folder, _, _ = finished
    before = (folder / CHECKPOINT).read_bytes()
    with pytest.raises(OutputError, match="holds an earlier run; add --resume"):
        train(recipe, folder)
    assert (folder / CHECKPOINT).read_bytes() == before


def test_a_run_is_resumed_with_its_own_recipe_only(finished, tmp_path):
    recipe, folder, _, _ = finished
    with pytest.raises(CheckpointError, match=r"another recipe: training\.batch: 2 there, 3 here"):
        train({**recipe, "training": {**recipe["training"], "batch": 3}}, folder, resume=True)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(recipe, tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="damaged"):
        train(recipe, tmp_path / "cut", resume=True)


def test_time_is_up(finished, tmp_path):
    recipe, _, _, _ = finished
    limited = {**recipe, "running": {**recipe["running"], "time_limit_min": 1e-9}}
    outcome, _ = train(limited, tmp_path / "run")
    assert (outcome.ended, outcome.steps) == ("time limit", 0)
    outcome, _ = train(recipe, tmp_path / "run", resume=True, until=1)
    assert (outcome.ended, outcome.steps) == ("steps", 1)


def test_the_learning_rate_warms_up_and_falls():
    training = parse({"data": {"photos": [{"path": "x"}]}}).training
    rates = [schedule.rate(step, training) for step in range(training.steps)]
    assert rates[0] < 0.02
    assert max(rates) == pytest.approx(1, rel=0.02)
    assert rates.index(max(rates)) == training.warmup_steps
    assert rates[-1] == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "metrics.jsonl", "curves.png", WEIGHTS, f".{WEIGHTS}.part", f".{CHECKPOINT}.part"]
)
def test_links_in_the_folder_of_a_run_are_not_written_through(photos, tmp_path, name):
    mine, out = tmp_path / "mine", tmp_path / "run"
    mine.write_text("mine")
    out.mkdir()
    (out / name).symlink_to(mine)
    recipe = plain_recipe(photos, training={"steps": 1})
    if name in ("metrics.jsonl", f".{WEIGHTS}.part", f".{CHECKPOINT}.part"):
        with pytest.raises(OutputError, match="it is a link"):
            train(recipe, out)
    else:
        # These appear under their names whole, in the place of what was there.
        train(recipe, out)
        assert not (out / name).is_symlink()
    assert mine.read_text() == "mine"
