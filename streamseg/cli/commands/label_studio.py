"""``streamseg label-studio``: answers Label Studio, which asks while people draw."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from pathlib import Path

from streamseg_nodes.page.address import Service, is_own, open_port, parse, read_token

from streamseg import extras
from streamseg.cli.flags.options import add_options, given_options, some_options
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import say
from streamseg.cli.parser import Parser, positive
from streamseg.errors import EXIT_INTERRUPTED, OutputError, UsageError
from streamseg.regular_files import read_regular

_DESCRIPTION = """An ML backend for Label Studio: a box or clicks in a picture become a brush mask, a rectangle in a
video is followed through it. Add it under Settings, Model, with 'interactive preannotations'. Only this machine reaches
it, unless a token is given. Ctrl-C ends it."""

SERVICE = Service("label-studio", "--listen", "127.0.0.1:9090", "have its videos followed")
_OPTIONS = ("model", "checkpoint", "device", "engine")
_KEY = "LABEL_STUDIO_API_KEY"
_KEY_MAX_BYTES = 8192
_LOOK_S = 1.0
_LAST_S = 5
"""For an answer that is being made when somebody ends it."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--url",
        default="http://localhost:8080",
        metavar="URL",
        help="of Label Studio; pictures and videos come from there and nowhere else (default: http://localhost:8080)",
    )
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        help=f"a file with a key of Label Studio, if not ${_KEY}, nor the one it tells itself",
    )
    where = parser.add_argument_group("where it listens")
    where.add_argument("--listen", default=SERVICE.default, metavar="HOST:PORT", help=f"(default: {SERVICE.default})")
    where.add_argument(
        "--listen-token",
        metavar="FILE",
        help="a file with a token that Label Studio has to send, as the password of its basic authentication",
    )
    parser.add_argument(
        "--frames",
        type=positive,
        default=300,
        metavar="N",
        help="of a rectangle, followed for one answer at most (default: 300)",
    )
    parser.add_argument(
        "--max-mb", type=positive, default=4096, metavar="N", help="largest file of a task, in MiB (default: 4096)"
    )
    add_options(parser, some_options(_OPTIONS).values())
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer until somebody ends it; returns the exit code.

    Raises:
        StreamsegError: others could reach it, the address is taken, the model cannot be had, a package is missing, or
            it stopped by itself.
    """
    for module in ("starlette", "uvicorn"):
        extras.load(module, "page", "to answer Label Studio")
    address = parse(args.listen, SERVICE)
    token = None if args.listen_token is None else read_token(args.listen_token, SERVICE)
    if token is None and not address.loopback:
        raise UsageError(
            f"expected an address that only this machine reaches, got {args.listen!r}, where anyone on the network "
            f"could {SERVICE.strangers}; give --listen-token too, or listen at 127.0.0.1:{address.port}"
        )
    import uvicorn

    from streamseg.label_studio.app import make_app
    from streamseg.label_studio.backend import Backend
    from streamseg.label_studio.media import Media

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    media = Media(args.url, _api_key(args.api_key_file), args.max_mb << 20)
    listener = open_port(address, SERVICE)
    try:
        backend = Backend(media, most_frames=args.frames, **given_options(args))
        app = make_app(backend, token=token, is_own=is_own)
        host = f"[{address.host}]" if address.is_ipv6 else address.host
        say(f"label-studio: http://{host}:{listener.getsockname()[1]} answers the Label Studio at {args.url}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=_LAST_S
        )
        server = uvicorn.Server(config)
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                server.run(sockets=[listener])
            except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, it is said below)
                errors.append(error)

        thread = threading.Thread(target=serve, name="label-studio", daemon=True)
        with Interrupts() as interrupts:
            thread.start()
            while was_serving := thread.is_alive():
                if interrupts.wait(_LOOK_S):
                    break
            server.should_exit = True
            thread.join()
    finally:
        listener.close()
        media.close()
    if not was_serving:
        reason = errors[0] if errors else "it stopped by itself"
        raise OutputError(f"expected to answer Label Studio until Ctrl-C, got: {reason}; start it again")
    return EXIT_INTERRUPTED


def _api_key(file: str | None) -> str | None:
    if file is None:
        return os.environ.get(_KEY) or None
    try:
        key = read_regular(Path(file).expanduser(), _KEY_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the file with the key of Label Studio, {file}, cannot be read: {error}") from error
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"expected a key of Label Studio in {file}, got {len(key)} characters that are none")
    return key
