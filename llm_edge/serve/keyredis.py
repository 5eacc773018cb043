"""
Keys in a Redis or Valkey, for sidecars on several machines.

Each change and its line in the trail are one script, all or nothing. Nothing here changes or deletes a line of the
trail; that nobody else does is for the server's own access rules to see to. The pepper is not kept there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast

from ..stores.lanes import Client, library
from ..stores.places import Place
from ..stores.pool import PATIENCE_BEHIND, Pool
from .keys import Kept, Key, Line
from .problems import NoKeysNow

T = TypeVar("T")

_CHANGE = """
local set, gone = tonumber(ARGV[1]), tonumber(ARGV[2])
for at = 0, set - 1 do
    local name = ARGV[4 + 2 * at]
    local was = string.sub(name, 1, 4) == 'key:' and redis.call('HGET', KEYS[1], name)
    if not was or cjson.decode(was).revoked == cjson.null then redis.call('HSET', KEYS[1], name, ARGV[5 + 2 * at]) end
end
for at = 1, gone do redis.call('HDEL', KEYS[1], ARGV[3 + 2 * set + at]) end
redis.call('RPUSH', KEYS[2], ARGV[3])
return redis.call('INCR', KEYS[3])
"""
"""Who was ended stays ended, though the change began before that."""
_READ = "return redis.call('HGETALL', KEYS[1])"
_TRAIL = "return redis.call('LRANGE', KEYS[1], -tonumber(ARGV[1]), -1)"


class KeyRedis:
    """Keys in a Redis. Raises NoKeysNow when it does not answer."""

    remote = True

    def __init__(self, place: Place, *, prefix: str, pepper: bytes) -> None:
        self.pepper = hashlib.sha256(pepper).digest()
        self._pool = Pool(place, PATIENCE_BEHIND)
        self._kept, self._trail, self._version = (f"{{{prefix}}}:{name}" for name in ("kept", "trail", "version"))
        self._fields: Mapping[bytes, bytes] = {}
        self._keys: Mapping[bytes, Key] = {}

    def version(self, _patience: float) -> object:
        return self._ask(lambda client: client.get(self._version))

    def read(self, _patience: float) -> Kept:
        found = cast("list[bytes]", self._ask(lambda client: client.eval(_READ, 1, self._kept)))
        fields = dict(zip(found[::2], found[1::2], strict=True))
        keys: dict[bytes, Key] = {}
        settings: dict[str, str] = {}
        for name, value in fields.items():
            kind, _, rest = name.decode().partition(":")
            if kind == "key":
                digest = bytes.fromhex(rest)
                same = self._fields.get(name) == value
                keys[digest] = self._keys[digest] if same else _key(json.loads(value))
            else:
                settings[rest] = value.decode()
        self._fields, self._keys = fields, keys
        return Kept(keys, settings)

    def change(self, keys: Mapping[bytes, Key], settings: Mapping[str, str | None], line: Line) -> None:
        values = {f"key:{digest.hex()}": json.dumps(asdict(key)) for digest, key in keys.items()}
        values.update({f"setting:{name}": value for name, value in settings.items() if value is not None})
        gone = [f"setting:{name}" for name, value in settings.items() if value is None]
        words = [word for pair in values.items() for word in pair]
        given = [str(len(values)), str(len(gone)), json.dumps(line), *words, *gone]
        self._ask(lambda client: client.eval(_CHANGE, 3, self._kept, self._trail, self._version, *given))

    def trail(self, most: int) -> list[Line]:
        rows = cast("Sequence[bytes]", self._ask(lambda client: client.eval(_TRAIL, 1, self._trail, str(most))))
        return [Line(*json.loads(row)) for row in reversed(rows)]

    def close(self) -> None:
        self._pool.close()

    def _ask(self, work: Callable[[Client], T]) -> T:
        try:
            return self._pool.ask(work)
        except (OSError, TimeoutError, library().RedisError) as error:
            raise NoKeysNow(f"the store of the keys did not answer: {type(error).__name__}") from None


def _key(given: dict[str, Any]) -> Key:
    fields: Any = {**given, "permissions": tuple(given["permissions"]), "models": tuple(given["models"])}
    return Key(**fields)
