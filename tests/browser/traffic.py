"""
A sidecar with something to see: scripted providers that are slow, fail and stream as real ones do, and callers.

`python -m tests.browser.traffic --minutes 12 --shots docs/images` makes the pictures of the documentation.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from llm_edge.testing import Provider, answer, status, stream
from llm_edge.testing.call import Call
from llm_edge.testing.steps import Step
from tests.serve.kit import CHAT, Process, running

ADMIN = "admin-key-of-the-demonstration"

EDGE = """
[providers.openai]
api_key = "sk-house"
base_url = "{url}/v1"
[providers.anthropic]
api_key = "sk-ant-house"
base_url = "{url}"
[providers.gemini]
api_key = "AIza-house"
base_url = "{url}"
[routes.fast]
targets = ["openai/gpt-5.4-mini", "gemini/gemini-3-flash"]
[routes.smart]
targets = ["anthropic/claude-sonnet-5-5", "openai/gpt-5.4"]
[limits.tenant]
requests_per_minute = 600
tokens_per_minute = 400000
[budgets.global]
usd_per_day = 40
[budgets."tenant:search"]
usd_per_month = 5
[retry]
base = 0.05
[prices.models."openai/gpt-5.4-mini"]
input = 0.3
output = 1.2
[prices.models."openai/gpt-5.4"]
input = 1.5
output = 9
[prices.models."anthropic/*"]
input = 3
output = 15
[prices.models."gemini/*"]
input = 0.35
output = 1.4
[serve.auth]
database = "{folder}/keys.db"
"""


def _spoken(call: Call, chance: random.Random) -> Step:
    """What a provider says: mostly after a while, sometimes in pieces, now and then not at all."""
    smart = "claude" in (call.model or "") or (call.model or "").endswith("5.4")
    slow = chance.lognormvariate(-0.1 if smart else -1.2, 0.45)
    if chance.random() < (0.03 if smart else 0.012):
        return status(529 if "claude" in (call.model or "") else 503)
    used = {"prompt_tokens": chance.randint(200, 3200), "completion_tokens": chance.randint(20, 700)}
    if call.field("stream"):
        return stream(*["word "] * 12, usage=used).delay(slow / 3).pace(slow / 14)
    return answer("Paris.", usage=used).delay(slow)


def ask(process: Process, key: str, body: object, path: str = CHAT) -> bytes:
    """One call; whatever comes back."""
    request = urllib.request.Request(
        process.url + path,
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=60) as said:
        return bytes(said.read())
    return b""


@contextlib.contextmanager
def sidecar(folder: Path, provider: Provider, more: str = "", **keys: str) -> Iterator[tuple[Process, dict[str, str]]]:
    """A sidecar, an admin's key under `admin`, and a key for each tenant named."""
    from llm_edge.runtime import ThreadClock
    from llm_edge.serve.keyfile import KeyFile
    from llm_edge.serve.keys import KeyStore

    store = KeyStore(KeyFile(folder / "keys.db"), ThreadClock())
    made = {"admin": store.create("test", name="operations", tenant="operations", permissions=["admin", "call"])[0]}
    for tenant, tier in keys.items():
        made[tenant] = store.create("test", name=tenant, tenant=tenant, tier=tier)[0]
    store.close()
    with provider.serve() as server:
        toml = EDGE.format(url=server.url, folder=folder) + more
        with running(folder, toml) as process:
            yield process, made


def callers(process: Process, keys: dict[str, str], seconds: float) -> None:
    """Traffic of a few tenants, busier and calmer by turns."""
    chance = random.Random(7)
    until = time.monotonic() + seconds
    threads: list[threading.Thread] = []
    while time.monotonic() < until:
        phase = time.monotonic() / 90
        time.sleep(chance.expovariate(3.2 + 2.2 * (phase % 2 > 1.2)))
        tenant = chance.choices(["search", "support", "mobile"], [5, 3, 2])[0]
        number = int(chance.paretovariate(0.9)) if chance.random() < 0.6 else chance.randint(1000, 10**6)
        body = {
            "model": chance.choices(["fast", "smart", "gemini/gemini-3-flash"], [6, 3, 1])[0],
            "messages": [{"role": "user", "content": f"Question {number}"}],
            "stream": chance.random() < 0.35,
        }
        thread = threading.Thread(target=ask, args=(process, keys[tenant], body))
        thread.start()
        threads = [each for each in threads if each.is_alive()] + [thread]
    for thread in threads:
        thread.join()


def main() -> None:
    """Traffic for a while, then pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--shots", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    chance = random.Random(3)
    provider = Provider(lambda call: _spoken(call, chance), remember=50)
    with tempfile.TemporaryDirectory() as name:
        with sidecar(Path(name), provider, search="pro", support="basic", mobile="free") as (process, keys):
            # Still at it while the pictures are taken.
            going = threading.Thread(target=callers, args=(process, keys, options.minutes * 60 + 20))
            going.start()
            time.sleep(options.minutes * 60)
            from .shots import take

            take(process.url, keys["admin"], options.shots)
            going.join()


if __name__ == "__main__":
    main()
