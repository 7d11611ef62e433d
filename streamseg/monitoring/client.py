"""Asks a run that is watched for its figures."""

from __future__ import annotations

import http.client
import re
import ssl
from pathlib import Path

import msgspec

from streamseg.errors import RunError, UsageError
from streamseg.monitoring.figures import Figures

_WITHIN_S = 5.0
_LARGEST_BYTES = 1 << 24
_ADDRESS = re.compile(r"(?:(?P<scheme>https?)://)?(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+):)?(?P<port>\d{1,5})/?")


class FiguresClient:
    """Asks one address.

    Args:
        address: ``HOST:PORT``, a port alone, or a URL of them.
        token: that the run wants to see, if it does.
        ca: certificate (PEM) of whoever vouches for the run, for https; None for those that the system trusts.

    Raises:
        UsageError: it is no address, or the certificate cannot be read.
    """

    def __init__(self, address: str, token: str | None = None, ca: Path | None = None) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match["port"]) > 65535:
            raise UsageError(f"expected HOST:PORT or a port, such as 127.0.0.1:9400, got {address!r}")
        self._host, self._port = (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tls: ssl.SSLContext | None = None
        if ca is not None or match["scheme"] == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca)
            except OSError as error:
                raise UsageError(f"expected a certificate (PEM) in {ca}, got: {error}") from error
        self.address = f"{match['host'] or '127.0.0.1'}:{self._port}"
        """What was asked, for people."""

    def ask(self) -> Figures:
        """The figures as of now.

        Raises:
            RunError: nobody answers there, or not with figures.
        """
        try:
            status, body = self._get()
        except ConnectionRefusedError:
            raise RunError(
                f"nothing listens at {self.address}; start a run with --metrics, or say where one is: "
                f"streamseg top HOST:PORT"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise RunError(
                f"expected a certificate that can be trusted at {self.address}, got: {error.verify_message}; "
                f"--ca FILE names the one to trust"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise RunError(
                f"expected a run with --metrics at {self.address}, got: {error}; a run with a certificate is asked by "
                f"https://{self.address}"
            ) from error
        if status == 401:
            raise RunError(f"the run at {self.address} wants its token; give --token FILE with the same one")
        try:
            return msgspec.json.decode(body, type=Figures)
        except msgspec.DecodeError as error:
            raise RunError(
                f"what answers at {self.address} is no run of this streamseg ({error}); say where one is: "
                f"streamseg top HOST:PORT"
            ) from error

    def _get(self) -> tuple[int, bytes]:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_WITHIN_S)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=_WITHIN_S, context=self._tls)
        try:
            connection.request("GET", "/figures", headers=self._headers)
            response = connection.getresponse()
            return response.status, response.read(_LARGEST_BYTES)
        finally:
            connection.close()
