"""Answers of a data centre with a limit on what they unpack to: a few kilobytes of gzip can stand for gigabytes.

A data centre sends one document per request, miniSEED or XML, plain or compressed by gzip. Nothing that it sends is an
archive of files: there are no members, paths or links to check, and `day_sorting` makes the names of files from codes.
"""

from __future__ import annotations

import io
import zlib
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError

# A day of six channels at 100 Hz as plain 32-bit integers is 207 MB; those of Apollo and InSight are below 40 MB.
MOST_ANSWER_BYTES = 256 << 20
_READ_BYTES = 1 << 16
_GZIP_BITS = 16 + zlib.MAX_WBITS


class OversizeAnswer(OSError):
    """An answer, unpacked, is larger than any that the request can have; another attempt will not help."""


class BoundedOpener:
    """Opens URLs as a urllib opener does, with answers read and unpacked at once, up to a limit.

    `oversize` is the last answer's excess: obspy replaces the exceptions of an opener by its own.
    """

    def __init__(self, opener: Any, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        self._opener, self._most_bytes = opener, most_bytes
        self.oversize: OversizeAnswer | None = None

    def open(self, *arguments: Any, **options: Any) -> _Answer:
        """Return an answer, unpacked.

        Raises
        ------
        OversizeAnswer
            It is larger than the limit.
        OSError, HTTPException, zlib.error
            The transfer fails, or the answer is damaged or incomplete.
        """
        try:
            with self._opener.open(*arguments, **options) as answer:
                is_packed = answer.info().get("Content-Encoding") == "gzip"
                content = _unpacked(answer, self._most_bytes) if is_packed else _read(answer, self._most_bytes)
                return _Answer(content, answer.getcode(), answer.geturl())
        except HTTPError as refusal:  # with a page that explains it
            page = io.BytesIO(refusal.read(_READ_BYTES))
            raise HTTPError(refusal.url, refusal.code, refusal.msg, refusal.headers, page) from refusal
        except OversizeAnswer as problem:
            self.oversize = problem
            raise


class _Answer(io.BytesIO):
    """What obspy asks of a response."""

    def __init__(self, content: bytes, code: int, url: str) -> None:
        super().__init__(content)
        self._code, self._url = code, url

    def getcode(self) -> int:
        return self._code

    def geturl(self) -> str:
        return self._url

    def info(self) -> dict[str, str]:
        return {}  # unpacked already


def _read(answer: Any, most_bytes: int) -> bytes:
    data: bytes = answer.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OversizeAnswer(_problem(most_bytes))
    if answer.length:  # urllib does not say so where a number of bytes is asked for
        raise IncompleteRead(data, answer.length)
    return data


def _unpacked(answer: Any, most_bytes: int) -> bytes:
    unpacker, content = zlib.decompressobj(_GZIP_BITS), io.BytesIO()
    while data := answer.read(_READ_BYTES):
        while data and not unpacker.eof:
            content.write(unpacker.decompress(data, _READ_BYTES))
            if content.tell() > most_bytes:
                raise OversizeAnswer(_problem(most_bytes))
            data = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise HTTPException("the compressed answer is incomplete")
    return content.getvalue()


def _problem(most_bytes: int) -> str:
    return f"an answer of more than {most_bytes >> 20} MiB, unpacked; request fewer channels with --channel"
