"""The keywords of `streamseg.segment_video` and `streamseg.Tracker` that are options of nodes.

``make keywords`` writes this file.
"""

from __future__ import annotations

import os
from typing import Literal, TypedDict


class TrackerKeywords(TypedDict, total=False):
    """Options of the nodes, as their flags of ``streamseg run`` are called. None leaves the choice to the node."""

    model: str | None
    """tiny, vit_b, vit_h, …: 'streamseg models' lists them (default: tiny)"""

    checkpoint: str | os.PathLike[str] | None
    """the model's weights, if not the original ones"""

    device: str | None
    """auto, cpu, cuda:N or mps (default: auto)"""

    engine: Literal["auto", "openvino", "onnxruntime", "torch"] | None
    """what computes; auto: where the model has a graph for it, on the CPU, OpenVINO if it is installed, else ONNX
    Runtime; torch for all else (default: auto)"""

    focus: Literal["auto", "on", "off"] | None
    """look closely where objects were; auto: if a back-edge of the graph says where (default: auto)"""

    views: int | None
    """focus: pixels encoded a frame, in views of full size; of more objects each is encoded at a lower resolution, if
    the model can: more is sharper and slower (default: 3)"""

    precision: Literal["auto", "f32", "bf16"] | None
    """what torch computes the encoder in; auto: bf16 on CUDA, f32 elsewhere; bf16 on a CPU is for SAM's own models,
    where the processor has bfloat16: quicker, and a little less exact (default: auto)"""

    cache: str | os.PathLike[str] | None
    """a folder that keeps embeddings, so that a later run encodes the same pictures no second time; most is gained
    with focus off, where every frame is seen as a whole"""

    tracker: Literal["default", "naive"] | None
    """default, or naive: the box of the last mask is the next prompt, and nothing else"""

    cleanup: bool | None
    """clean the masks (default: True)"""

    keep: Literal["largest", "all"] | None
    """of the parts large enough only the largest, or all: an object behind a pole has two (default: all)"""

    min_area_px: int | None
    """drop parts smaller than this"""

    fill_holes_px: int | None
    """fill holes up to this area; whatever lies inside a hole counts as part of it"""

    smooth_radius_px: int | None
    """majority vote in a square of this radius: rounds off a ragged outline"""

    grow_radius_px: int | None
    """in the end, widen each object by so many pixels of background, say to blur it out"""


class Keywords(TrackerKeywords, total=False):
    """With those that a whole graph has besides."""

    live: bool | None
    """drop frames rather than fall behind; without it, cameras and endless streams do"""

    max_frames: int | None
    """stop after N frames"""

    start: int | None
    """begin at frame N, counted from 0; files, bags and folders only (default: 0)"""

    image_fps: float | None
    """frames per second of a folder of images (default: 25.0)"""

    follow_folder: float | None
    """go on with the images that come into a folder, until none has come for S seconds"""

    stream: int | None
    """which of several video streams to read, from 0; without it, the best"""

    topic: str | None
    """which topic of a bag has the pictures; without it, the only one"""

    start_s: float | None
    """begin so many seconds after the first picture of a bag, by the time of recording"""

    end_s: float | None
    """end so many seconds after the first picture of a bag, by the time of recording"""

    open_timeout_s: float | None
    """a source that does not open for so long is not there (default: 10.0)"""

    read_timeout_s: float | None
    """so long without a picture counts as a lost connection (default: 10.0)"""

    reconnect: bool | None
    """connect again when a live source is lost (default: True)"""

    reconnect_attempts: int | None
    """give a lost source up after N failures in a row; without it, never"""

    max_age_s: float | None
    """drop a picture of a live source that gets older than this for a newer one (default: 1.0)"""

    damaged: Literal["drop", "keep"] | None
    """pictures of a live source with lost parts, and those made from them: drop leaves them out, keep marks them
    (default: drop)"""

    playlists_anywhere: bool | None
    """follow a local playlist (.m3u8, .ffconcat) to files and addresses that do not lie beside it"""

    camera_size: str | None
    """ask the camera for pictures of this size, say 1280x720"""

    camera_fps: float | None
    """ask the camera for so many frames a second"""

    camera_format: str | None
    """ask the camera for this format, as FFmpeg calls it: mjpeg, yuyv422, nv12, h264, …"""

    rtsp_transport: Literal["tcp", "udp"] | None
    """how pictures come from an RTSP server (default: tcp)"""

    own_key: str | os.PathLike[str] | None
    """our .key_secret file, if the publisher of a source streamseg://HOST:PORT has keys"""

    server_key: str | os.PathLike[str] | None
    """and the publisher's .key file"""

    max_pixels: int | None
    """a picture that has more, or says so in its header, is not decoded (default: 134217728)"""

    batch: int | None
    """frames encoded together; only without focus (default: 1)"""

    detect_every: int | None
    """the detector looks at every N-th frame, from the first on; 0: only at the first (default: 1)"""

    detect_classes: str | None
    """what the detector of --detect FILE.onnx shall find: names or numbers of classes, with commas between them
    (default: all)"""

    detect_score: float | None
    """what it is less sure of is left out (default: 0.35)"""

    detect_nms: float | None
    """of two boxes of a class that overlap by more than this, the better one stays (default: 0.5)"""

    detect_layout: str | None
    """how its outputs are laid out, if that cannot be told from the file: ultralytics, yolov5, end2end, yolox, rtdetr,
    ultralytics-rtdetr, rfdetr, detr, boxes, counted (default: auto)"""

    detect_names: str | os.PathLike[str] | None
    """a text file with what its classes are called, one a line, if the file does not say it"""

    detect_size: int | None
    """side of the pictures that it is given, in pixels, if the file leaves that open"""

    text: str | None
    """follow what words say, with commas between things ('red cup, dog'), found by OWLv2 or Grounding DINO
    (streamseg[text]) in every 25th frame, or as --detect-every says"""

    text_model: str | os.PathLike[str] | None
    """the model of --text: a folder, or a name in the cache of transformers (default: google/owlv2-base-
    patch16-ensemble)"""

    text_score: float | None
    """what --text is less sure of is left out (default: 0.25)"""
