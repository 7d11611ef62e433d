"""Tiny detectors that take words, of random weights, as transformers keeps them in a folder: nothing is downloaded."""

from __future__ import annotations

import string
from pathlib import Path

from streamseg.sam.networks.torchvision_ops import ensure_torchvision

SIDE = 64
"""Of the square that the model sees, in pixels."""


def owlv2(folder: Path) -> Path:
    """An OWLv2 of some thousand weights; returns the folder."""
    ensure_torchvision()
    import torch
    from transformers import (
        CLIPTokenizer,
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessor,
        Owlv2Processor,
        Owlv2TextConfig,
        Owlv2VisionConfig,
    )

    torch.manual_seed(0)
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    vocabulary = {word: number for number, word in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = Owlv2TextConfig(
        **small,
        vocab_size=len(vocabulary),
        max_position_embeddings=16,
        bos_token_id=len(letters),
        eos_token_id=len(letters) + 1,
        pad_token_id=len(letters) + 1,
    )
    vision = Owlv2VisionConfig(**small, image_size=SIDE, patch_size=16)
    config = Owlv2Config(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16, pad_token="<|endoftext|>")
    pictures = Owlv2ImageProcessor(size={"height": SIDE, "width": SIDE})
    Owlv2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder


def grounding_dino(folder: Path) -> Path:
    """A Grounding DINO of some thousand weights; returns the folder."""
    ensure_torchvision()
    import torch
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "red", "cup", "dog"]
    backbone = SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        image_size=SIDE,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=256,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=6,
        max_text_len=32,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
    GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder
