from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streamseg.errors import UsageError
from streamseg.training import recipe

DATA = {"photos": [{"path": "somewhere"}]}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"traning": {}}, "the recipe: unknown key 'traning'; did you mean 'training'?"),
        ({"training": {"step": 3}}, "unknown key 'step' in 'training'; did you mean 'steps'?"),
        ({"data": {"photos": [{"path": "a"}, {"pathh": "b"}]}}, r"unknown key 'pathh' in 'data.photos\[1\]'; did you"),
        ({"data": {}}, "no data: expected photos or films"),
        ({"training": {"steps": 0}}, "expected a whole number of at least 1 for training.steps"),
        ({"training": {"learning_rate": "fast"}}, "expected a number for training.learning_rate, got text"),
        ({"start_from": "scratch"}, "batch_norm: learned"),
        ({"training": [1]}, "expected a mapping for 'training', got list"),
        ({"version": 2}, "expected 1 for version, got 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        recipe.parse({"data": DATA, **wrong})


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "r.yaml"
    with pytest.raises(UsageError, match=r"r\.yaml: cannot be read"):
        recipe.load(path)
    path.write_text("data: [")
    with pytest.raises(UsageError, match=r"r\.yaml: not valid YAML"):
        recipe.load(path)
    path.write_text("dta: {}")
    with pytest.raises(UsageError, match=r"r\.yaml: the recipe: unknown key 'dta'; did you mean 'data'"):
        recipe.load(path)


def test_only_running_may_change_on_the_way():
    first = recipe.parse({"data": DATA})
    assert recipe.difference(first, recipe.parse({"data": DATA, "running": {"threads": 3}})) is None
    other = recipe.parse({"data": DATA, "training": {"batch": 3}})
    assert recipe.difference(first, other) == "training.batch: 14 there, 3 here"
    assert recipe.difference(first, recipe.parse({"data": DATA, "seed": 4})) == "seed: 1 there, 4 here"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "samples" / "train").glob("*.yaml")), ids=str)
def test_the_recipes_in_samples_are_sound(path):
    read = recipe.load(path)
    assert recipe.parse(yaml.safe_load(path.read_text())) == read
