"""Embeddings that are kept: found again by what they were made from, bounded, and never trusted when damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from streamseg_nodes.embed import Embed
from support.disks import picture

from streamseg.errors import OutputError
from streamseg.messages import Frame, Stamp
from streamseg.sam.embedding_cache import CachedEncoder, EmbeddingCache
from streamseg.sam.loading import load_encoder

MIB = 1 << 20


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def some(number: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(4, side, side)).astype(np.float32)


def only(folder: Path) -> Path:
    (path,) = folder.glob("*.embedding")
    return path


def test_what_is_kept_is_found_again_also_by_another_process(tmp_path: Path) -> None:
    cache = EmbeddingCache(MIB, tmp_path / "deep" / "down", MIB)
    assert cache.get(key(1)) is None
    cache.put(key(1), some(1))
    found = cache.get(key(1))
    assert found is not None
    np.testing.assert_array_equal(found, some(1))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0
    again = EmbeddingCache(0, tmp_path / "deep" / "down", MIB).get(key(1))
    np.testing.assert_array_equal(again, some(1))
    assert EmbeddingCache(0, tmp_path / "deep" / "down", MIB).get(key(2)) is None
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize("at", [0, 9, 41, 60, -1])
def test_one_damaged_byte_and_it_counts_as_not_there(tmp_path: Path, at: int) -> None:
    EmbeddingCache(0, tmp_path, MIB).put(key(1), some(1))
    path = only(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    assert EmbeddingCache(0, tmp_path, MIB).get(key(1)) is None
    assert not path.exists(), "nor is it looked at again"


@pytest.mark.parametrize("size", [0, 30, 52, 1000])
def test_half_a_file_counts_as_not_there(tmp_path: Path, size: int) -> None:
    EmbeddingCache(0, tmp_path, MIB).put(key(1), some(1))
    only(tmp_path).write_bytes(only(tmp_path).read_bytes()[:size])
    assert EmbeddingCache(0, tmp_path, MIB).get(key(1)) is None


def test_a_file_under_another_name_is_not_taken(tmp_path: Path) -> None:
    EmbeddingCache(0, tmp_path, MIB).put(key(1), some(1))
    only(tmp_path).rename(tmp_path / f"{key(2).hex()}.embedding")
    assert EmbeddingCache(0, tmp_path, MIB).get(key(2)) is None


def test_both_are_bounded_and_the_last_used_stay(tmp_path: Path) -> None:
    one = some(0).nbytes
    cache = EmbeddingCache(3 * one, tmp_path, 5 * (one + 100))
    for number in range(12):
        cache.put(key(number), some(number))
        os.utime(tmp_path / f"{key(number).hex()}.embedding", ns=(number, number))
    assert len(list(tmp_path.glob("*.embedding"))) <= 5
    left = EmbeddingCache(0, tmp_path, 5 * (one + 100))
    assert left.get(key(11)) is not None
    assert left.get(key(0)) is None
    assert EmbeddingCache(2 * one).get(key(11)) is None
    memory = EmbeddingCache(2 * one)
    for number in range(3):
        memory.put(key(number), some(number))
    assert [memory.get(key(number)) is not None for number in range(3)] == [False, True, True]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="expected to keep embeddings in"):
        EmbeddingCache(0, tmp_path / "file", MIB)


def test_the_encoder_is_asked_once_for_a_picture() -> None:
    plain = load_encoder("tiny", device="cpu")
    cache = EmbeddingCache(64 * MIB)
    encoder = CachedEncoder(plain, cache)
    images = [picture(0), picture(9), picture(0)]
    first = encoder.encode(images)
    assert (cache.hits, cache.misses) == (0, 3)
    second = encoder.encode([picture(9), picture(0)])
    assert (cache.hits, cache.misses) == (2, 3)
    np.testing.assert_array_equal(first[1], second[0])
    np.testing.assert_allclose(plain.encode([picture(9)])[0], second[0], atol=1e-4)
    assert (encoder.info, encoder.sha256, encoder.device) == (plain.info, plain.sha256, "cpu")


def test_a_second_run_skips_the_encoder_for_whole_frames(tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        node = Embed(Embed.Config(device="cpu", focus="off", cache=str(tmp_path), cache_mb=64))
        node.setup()
        for index in range(3):
            node.process(Frame(Stamp("s", index, index, index, (1, 25), 0, 0, 1), picture(index)))
        counts.append((node.describe()["cached"], node.describe()["encoded"]))
    assert counts == [(0, 3), (3, 0)]
