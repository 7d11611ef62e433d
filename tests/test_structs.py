from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from streamseg import structs
from streamseg.errors import GraphError, PromptError, UsageError
from streamseg.structs import Option


class Leaf(msgspec.Struct, frozen=True):
    size: Annotated[int, msgspec.Meta(ge=1), Option("how large")] = 1
    hidden: str = ""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Does not forbid unknown fields: `convert` does."""

    leaf: Leaf = Leaf()
    perhaps: Leaf | None = None
    leaves: list[Leaf] | str = []
    named: Annotated[dict[str, Leaf | None], Option("by name")] = {}
    free: dict[str, Any] = {}


class Picky(msgspec.Struct):
    side: int

    def __post_init__(self) -> None:
        if self.side == 13:
            raise PromptError("expected any side but 13")


class Pair(msgspec.Struct, array_like=True):
    first: int
    second: int


class Cat(msgspec.Struct, tag=True):
    lives: int = 9


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1], "the tree: expected a mapping, got list"),
        ({"laef": {}}, "the tree: unknown key 'laef'; did you mean 'leaf'?"),
        ({1: 2}, "the tree: unknown key 1; known: free, leaf, leaves, named, perhaps"),
        ({"leaf": {"sise": 1}}, "the tree: unknown key 'sise' in 'leaf'; did you mean 'size'?"),
        ({"leaf": 7}, "the tree: expected a mapping for 'leaf', got int"),
        ({"perhaps": {"sise": 1}}, "the tree: unknown key 'sise' in 'perhaps'; did you mean 'size'?"),
        ({"leaves": [{}, {"sise": 1}]}, "the tree: unknown key 'sise' in 'leaves[1]'; did you mean 'size'?"),
        ({"named": {"oak": {"sise": 1}}}, "the tree: unknown key 'sise' in 'named.oak'; did you mean 'size'?"),
        ({"leaf": {"size": 0}}, "the tree: expected a whole number of at least 1 for leaf.size"),
        ({"perhaps": 7}, "the tree: expected a mapping for perhaps, got a whole number"),
    ],
)
def test_an_error_says_where_and_what_instead(data, words):
    with pytest.raises(GraphError) as refused:
        structs.convert(data, Tree, "the tree", GraphError)
    assert str(refused.value) == words


def test_what_is_right_passes():
    data = {"leaf": {"size": 2}, "leaves": "none", "named": {"oak": None}, "free": {"any": {"thing": 1}}}
    assert structs.convert(data, Tree, "it") == Tree(
        leaf=Leaf(2), leaves="none", named={"oak": None}, free={"any": {"thing": 1}}
    )
    assert structs.convert([1, 2], Pair, "it") == Pair(1, 2)
    assert structs.convert({"type": "Cat"}, Cat, "it") == Cat()


def test_fields_that_are_not_for_people_are_no_keys():
    with pytest.raises(UsageError, match="it: unknown key 'hidden'; known: size"):
        structs.convert({"hidden": "x"}, Leaf, "it", without=("hidden",))


def test_what_a_struct_says_itself_is_the_sentence():
    with pytest.raises(UsageError) as refused:
        structs.convert({"side": 13}, Picky, "the options")
    assert str(refused.value) == "the options: expected any side but 13"


def test_what_an_annotation_says():
    fields = {field.name: field.type for field in msgspec.structs.fields(Leaf)}
    assert structs.option_of(fields["size"]) == Option("how large")
    assert structs.option_of(fields["hidden"]) is None
    assert structs.bare(fields["size"]) is int
    assert structs.may_be_none(Annotated[int | None, Option("x")])
    assert not structs.may_be_none(Literal["a"])
