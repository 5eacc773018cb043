"""Load on a server: as much as it takes, by wrk or h2load; or a moderate one, with each answer timed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .servers import Server

QUESTION = "What is the weather like in Paris today? " * 5
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Took:
    """What a server did under load."""

    rate: float
    """Answers a second."""
    cpu: float
    """Microseconds of CPU of the server's processes for each."""
    failed: int = 0


def generator() -> str | None:
    """The load generator of this machine; None where there is none."""
    return next((name for name in ("wrk", "h2load") if shutil.which(name)), None)


def body(server: Server, *, stream: bool = False, more: str = "") -> bytes:
    asked: dict[str, object] = {"model": server.model, "messages": [{"role": "user", "content": QUESTION + more}]}
    if stream:
        asked["stream"] = True
    return json.dumps(asked, separators=(",", ":")).encode()


def full(server: Server, path: str, raw: bytes | None, seconds: float, folder: Path) -> Took:
    """As many answers as the server gives."""
    before = server.cpu()
    command, read = _wrk if generator() == "wrk" else _h2load, read_wrk if generator() == "wrk" else read_h2load
    said = subprocess.run(
        command(server.url + path, raw, server.headers, seconds, folder), capture_output=True, text=True, check=True
    ).stdout
    answers, rate, failed = read(said)
    return Took(rate, (server.cpu() - before) / max(answers, 1) * 1e6, failed)


def _wrk(url: str, raw: bytes | None, headers: Mapping[str, str], seconds: float, folder: Path) -> list[str]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(round(seconds), 1)}s"]
    if raw is not None:
        script = folder / "post.lua"
        named = "".join(f"wrk.headers[{json.dumps(name)}]={json.dumps(value)}\n" for name, value in headers.items())
        kind = 'wrk.headers["content-type"]="application/json"\n'
        script.write_text(f'wrk.method="POST"\n{kind}{named}wrk.body={json.dumps(raw.decode())}\n')
        command += ["-s", str(script)]
    return [*command, url]


def read_wrk(said: str) -> tuple[int, float, int]:
    """Answers, answers a second, and how many failed."""
    answers, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec: *([\d.]+)", said)
    assert answers is not None, said
    assert rate is not None, said
    bad = re.findall(
        r"Non-2xx or 3xx responses: (\d+)|(?:connect|read|write) (\d+)", said
    )  # of timeouts wrk has its own
    failed = sum(int(status or broken) for status, broken in bad)
    return int(answers[1]), float(rate[1]), failed


def _h2load(url: str, raw: bytes | None, headers: Mapping[str, str], seconds: float, folder: Path) -> list[str]:
    command = ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"-D{max(round(seconds), 1)}"]
    if raw is not None:
        data = folder / "post.json"
        data.write_bytes(raw)
        command += ["-d", str(data), "-H", "content-type: application/json"]
        command += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    return [*command, url]


def read_h2load(said: str) -> tuple[int, float, int]:
    """The same."""
    rate, answers = re.search(r"([\d.]+) req/s", said), re.search(r"(\d+) succeeded, (\d+) failed", said)
    assert rate is not None, said
    assert answers is not None, said
    return int(answers[1]), float(rate[1]), int(answers[2])


def request(server: Server, raw: bytes) -> bytes:
    """A whole HTTP/1.1 request."""
    fields = {"host": "bench", "content-type": "application/json", "content-length": str(len(raw)), **server.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {server.path} HTTP/1.1\r\n{head}\r\n".encode() + raw


async def timed(server: Server, raw: bytes, *, every: float, count: int, lines: int = 4) -> list[float]:
    """Seconds to the first bytes of an answer's body, of calls that come at a steady pace."""
    address, asked, took = urlsplit(server.url), request(server, raw), list[float]()

    async def line(number: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        begun = time.perf_counter()
        for turn in range(count // lines):
            await asyncio.sleep(max(begun + (turn * lines + number) * every - time.perf_counter(), 0))
            at = time.perf_counter()
            writer.write(asked)
            took.append(await _first_byte(reader) - at)
        writer.close()

    await asyncio.gather(*(line(number) for number in range(lines)))
    return took


async def _first_byte(reader: asyncio.StreamReader) -> float:
    """When the body began; the answer is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: *(\d+)", head)
    if length:
        await reader.readexactly(int(length[1]))
        return time.perf_counter()
    first = 0.0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
        first = first or time.perf_counter()
    await reader.readexactly(2)
    return first


async def held(server: Server, count: int) -> float:
    """KB that each worker's memory grows by for each stream that is open."""
    address, asked = urlsplit(server.url), request(server, body(server, stream=True, more="hold"))

    async def one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(asked)
        await reader.readuntil(b"data: ")
        return writer

    # What the first streams bring in, code and arenas, is there for all that follow.
    writers = [await one() for _ in range(20)]
    before = sum(server.memory())
    writers += [await one() for _ in range(count)]
    grown = sum(server.memory()) - before
    for writer in writers:
        writer.close()
    return grown / count * 1e3
