"""The models that streamseg declares itself, in the same way as any other package would. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from streamseg.sam.models import ModelInfo

TINY = ModelInfo(
    name="tiny",
    description="comes with streamseg: SAM's decoder on a light convolutional encoder, real-time on a CPU",
    sha256="2ed944b17a2eee3cbe5d62dc2cbba6aed1e45bf287626030a107dc91e6d3915d",
    size_bytes=8_002_256,
    file_name="tiny.safetensors",
    folder=Path(__file__).parent / "weights",
    whole_size=512,
    focus_size=256,
    least_focus_size=64,
    closer_size=384,
    width=128,
    stride=8,
    matches=True,
    light=True,
)


def _official(name: str, description: str, file_name: str, sha256: str, size_bytes: int) -> ModelInfo:
    return ModelInfo(
        name=name,
        description=description,
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file_name}",
        sha256=sha256,
        size_bytes=size_bytes,
        file_name=file_name,
        whole_size=1024,
        focus_size=1024,
        least_focus_size=1024,
        width=256,
        stride=16,
    )


VIT_B = _official(
    "vit_b",
    "Segment Anything, ViT-B: 91 million parameters, wants a GPU",
    "sam_vit_b_01ec64.pth",
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    375_042_383,
)
VIT_L = _official(
    "vit_l",
    "Segment Anything, ViT-L: 308 million parameters, wants a GPU",
    "sam_vit_l_0b3195.pth",
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    1_249_524_607,
)
VIT_H = _official(
    "vit_h",
    "Segment Anything, ViT-H: 636 million parameters, wants a GPU",
    "sam_vit_h_4b8939.pth",
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    2_564_550_879,
)

VIT_T = ModelInfo(
    name="vit_t",
    description="MobileSAM: SAM's decoder on TinyViT, 10 million parameters",
    url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
    sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
    size_bytes=40_728_226,
    file_name="mobile_sam.pt",
    on_request=True,
    whole_size=1024,
    focus_size=1024,
    least_focus_size=1024,
    width=256,
    stride=16,
)


def _sam2(size: str, millions: int, sha256: str, size_bytes: int) -> ModelInfo:
    name = f"sam2.1_hiera_{size}"
    return ModelInfo(
        name=name,
        description=f"SAM 2.1's model of still pictures, Hiera {size}: {millions} million parameters, wants a GPU",
        url=f"https://dl.fbaipublicfiles.com/segment_anything_2/092824/{name}.pt",
        sha256=sha256,
        size_bytes=size_bytes,
        file_name=f"{name}.pt",
        on_request=True,
        whole_size=1024,
        focus_size=1024,
        least_focus_size=1024,
        # 256 channels, and two finer levels folded into the same grid: 64 at twice, 32 at four times its resolution.
        width=256 + 64 * 2**2 + 32 * 4**2,
        stride=16,
        stretches=True,
        encoder="streamseg.sam.engines.sam2_engine:Sam2Encoder",
        decoder="streamseg.sam.engines.sam2_engine:Sam2Decoder",
        needs="sam2",
        install="pip install sam2",
    )


SAM2_1_TINY = _sam2("tiny", 39, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", 156_008_466)
SAM2_1_SMALL = _sam2("small", 46, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", 184_416_285)
SAM2_1_BASE_PLUS = _sam2(
    "base_plus", 81, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5", 323_606_802
)
SAM2_1_LARGE = _sam2("large", 224, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", 898_083_611)
