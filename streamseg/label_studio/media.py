"""Pictures and videos of tasks, got from the Label Studio that asks, and from nowhere else."""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
import urllib.error
import urllib.request
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from streamseg.errors import MediaError, UsageError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_KEPT = 8
"""Files; people look at one task, and go back to the one before."""


class Media:
    """Files of tasks, the last few of them kept until it is closed.

    Args:
        url: of Label Studio; files come from there alone, since a task may name any address.
        api_key: of Label Studio, a legacy token or a personal one; None: what `allow` is told.
        most_bytes: of a file.
    """

    def __init__(self, url: str, api_key: str | None, most_bytes: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"expected the address of Label Studio, such as http://localhost:8080, got {url!r}")
        self._url = url.rstrip("/") + "/"
        self._own_key = api_key
        self._told_key: str | None = None
        self._most_bytes = most_bytes
        self._folder = tempfile.TemporaryDirectory(prefix="streamseg-label-studio-")
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._opener = urllib.request.build_opener(_StayThere(self._url))

    def allow(self, key: str) -> None:
        """Use this key if no other was given. It is told to nobody but the Label Studio at `url`."""
        self._told_key = key

    def get(self, address: object) -> Path:
        """The file at an address as a task has it.

        Raises:
            UsageError: the address is not one of this Label Studio.
            MediaError: it cannot be had.
        """
        if not isinstance(address, str) or not address:
            raise UsageError(f"expected the address of a picture or video in the task, got {address!r}")
        full = urljoin(self._url, address.removeprefix("/")) if address.startswith("/") else address
        if _origin(full) != _origin(self._url):
            raise UsageError(
                f"expected a file of the Label Studio at {self._url}, got {address!r}; import the file there, or say "
                f"where Label Studio is with --url"
            )
        if full in self._files:
            self._files.move_to_end(full)
            return self._files[full]
        # Its ending says what it is, and the rest of its name nothing.
        name = hashlib.sha256(full.encode()).hexdigest()[:24] + Path(urlsplit(full).path).suffix[:8]
        path = Path(self._folder.name) / name
        try:
            self._fetch(full, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._files[full] = path
        while len(self._files) > _KEPT:
            self._files.popitem(last=False)[1].unlink(missing_ok=True)
        return path

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def _fetch(self, url: str, path: Path) -> None:
        try:
            request = urllib.request.Request(url, headers=self._headers())
            with self._opener.open(request, timeout=_TIMEOUT_S) as response, path.open("wb") as file:
                size = 0
                while chunk := response.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._most_bytes:
                        raise MediaError(f"{url} is larger than {self._most_bytes >> 20} MiB; see --max-mb")
                    file.write(chunk)
        except urllib.error.HTTPError as error:
            error.close()
            hint = "; give a key of Label Studio (--api-key-file)" if error.code in (401, 403) else ""
            raise MediaError(f"{url}: Label Studio answered {error.code} {error.reason}{hint}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise MediaError(f"{url} cannot be had from Label Studio: {reason}; is it there (--url)?") from error

    def _headers(self) -> dict[str, str]:
        key = self._own_key or self._told_key
        if key is None:
            return {}
        if key.count(".") != 2:
            return {"Authorization": f"Token {key}"}
        # A personal token is good for another, which is good for minutes.
        body = json.dumps({"refresh": key}).encode()
        request = urllib.request.Request(
            urljoin(self._url, "api/token/refresh/"), body, {"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=_TIMEOUT_S) as response:
            found = json.loads(response.read(_CHUNK_BYTES))
        access = found.get("access") if isinstance(found, dict) else None
        if not isinstance(access, str):
            raise MediaError("Label Studio did not take its personal token; make another (--api-key-file)")
        return {"Authorization": f"Bearer {access}"}


class _StayThere(urllib.request.HTTPRedirectHandler):
    """Follows redirects, with the key in them, only within one server."""

    def __init__(self, url: str) -> None:
        self._origin = _origin(url)

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> Any:
        if _origin(newurl) != self._origin:
            raise MediaError(f"Label Studio sends {req.full_url} on to {_origin(newurl)}; expected a file of its own")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port}"
