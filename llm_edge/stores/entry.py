"""
One kept answer, as it rests in a store that others may write to.

    magic 4 | version 2 | length of head 4 | length of payload 4 | head (JSON) | payload | MAC 32

The head names the key and the scope the answer belongs to, and the MAC covers every byte before it: an answer that
was changed, cut, swapped with another or written by somebody without the secret is not read. Only exactly the version
written here is understood, so old and new versions of the library may share a store: each misses the other's.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Set
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal, TypeAlias

import orjson

from .. import exact
from ..message import Json, Pairs

Kind: TypeAlias = Literal["whole", "stream"]

VERSION = 1
LARGEST_PAYLOAD = 4 * 2**20
LARGEST_HEAD = 64 * 2**10
DEEPEST = 32
KEY = 64
"""Characters of an entry's key."""
YEAR = 31_536_000.0

_MAGIC = b"LEca"
_FRONT = struct.Struct(">4sHII")
_MAC = 32
_LARGEST = _FRONT.size + LARGEST_HEAD + LARGEST_PAYLOAD + _MAC
_OVERHEAD = 1024
"""Bytes of memory an entry takes besides its payload; roughly."""


class Odd(ValueError):
    """These bytes are not the entry that was asked for. `reason` is one of a few words, for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a usable cache entry: {reason}")
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class Entry:
    """
    One answer that was kept, with all that is needed to give it again.

    Never changed, and not frozen only because every answer makes one: that would take four times as long.
    """

    key: str
    """SHA-256 of everything that could change the answer, in hexadecimal."""
    scope: str
    """Digest of the tenant and the credential it was made for; no other caller may read it."""
    tenant: str = ""
    """Digest of the tenant alone, so that all of a tenant's answers can be purged."""
    namespace: str = ""
    model: str = ""
    dialect: str
    kind: Kind
    """Whether the payload is one whole answer, or the bytes of a stream."""
    headers: Pairs = ()
    payload: bytes = field(repr=False)
    made: float
    """Seconds since 1970."""
    ttl: float
    """How many seconds it is fresh."""
    usage: Json | None = field(default=None, repr=False)
    cost: int | None = None
    """Nano-dollars that asking again would cost; None when the price is not known."""
    took: float = 0.0
    """Seconds the provider needed."""
    target: str = ""
    """`provider/model` that gave it."""

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return _OVERHEAD + len(self.payload)

    @property
    def expires(self) -> float:
        """When it is no longer fresh, in seconds since 1970."""
        return self.made + self.ttl


@lru_cache(1024)
def belongs(tenant: str, credential: str) -> str:
    """The scope of what this tenant asks with this credential; the same few are asked for all the time."""
    return digest(tenant, credential)


def digest(*words: str) -> str:
    """One word for several, such as tenant and credential, that tells nothing of them."""
    whole = hashlib.sha256()
    for word in words:
        raw = word.encode("utf-8", "surrogatepass")
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return whole.hexdigest()


_HEAD: Set[str] = frozenset(each.name for each in fields(Entry)) - {"payload"}
_PUT = tuple((each.name, Entry.__dict__[each.name].__set__) for each in fields(Entry))
_KINDS, _NUMBERS = ("whole", "stream"), {int, float}
_LAST = 1e11
_FIRM = frozenset({str, int, bool, type(None)})
_words_of = itemgetter("key", "scope", "tenant", "namespace", "model", "dialect", "kind", "target")
_times_of = itemgetter("made", "ttl", "took")


def encode(entry: Entry, secret: bytes) -> bytes:
    """The entry as bytes. ValueError or TypeError when it is too large or cannot be said in JSON."""
    head = exact.write({name: getattr(entry, name) for name in _HEAD})
    if len(head) > LARGEST_HEAD or len(entry.payload) > LARGEST_PAYLOAD:
        raise ValueError("the answer is too large to be kept")
    _checked(_read(head), entry.payload)  # what could not be read again is not written
    front = _FRONT.pack(_MAGIC, VERSION, len(head), len(entry.payload))
    covered = b"".join((front, head, entry.payload))
    return covered + _mac(covered, secret)


def decode(data: object, *, key: str, scope: str | None, secret: bytes) -> Entry:
    """The entry of this key and scope (None: of any scope). Raises Odd for anything that is not exactly that."""
    if not isinstance(data, bytes) or not _FRONT.size + _MAC <= len(data) <= _LARGEST:
        raise Odd("size")
    magic, version, head, payload = _FRONT.unpack_from(data)
    if magic != _MAGIC:
        raise Odd("magic")
    if version != VERSION:
        raise Odd("version")
    if head > LARGEST_HEAD or payload > LARGEST_PAYLOAD or _FRONT.size + head + payload + _MAC != len(data):
        raise Odd("length")
    if not hmac.compare_digest(data[-_MAC:], _mac(memoryview(data)[:-_MAC], secret)):
        raise Odd("mac")
    end = _FRONT.size + head
    try:
        found = _read(data[_FRONT.size : end])
    except Odd:
        raise
    except ValueError:
        raise Odd("json") from None
    entry = _checked(found, data[end:-_MAC])
    if entry.key != key:
        raise Odd("key")
    if scope is not None and entry.scope != scope:
        raise Odd("scope")
    return entry


def _read(head: bytes) -> Any:
    """What a head says, as `exact.read` has it; which takes digests for long numbers. ValueError, and Odd."""
    try:
        found = orjson.loads(head)
    except ValueError:
        return exact.read(head)
    bent = exact.is_object(found) and (_bent(found.get("usage"), DEEPEST) or _bent(found.get("cost"), DEEPEST))
    return exact.read(head) if bent else found


def _bent(value: object, deepest: int) -> bool:
    """Whether a number in it may have been an integer past 64 bits. Raises Odd when it is nested more deeply."""
    if exact.is_object(value):
        value = list(value.values())
    if not exact.is_list(value):
        return type(value) is float and abs(value) >= 2**63
    if deepest <= 0:
        raise Odd("schema")
    bent = False
    for inner in value:
        if type(inner) not in _FIRM and _bent(inner, deepest - 1):
            bent = True
    return bent


def _mac(covered: bytes | memoryview, secret: bytes) -> bytes:
    if len(secret) > 64:
        secret = hashlib.blake2b(secret).digest()
    return hashlib.blake2b(covered, digest_size=_MAC, key=secret, person=b"llm_edge entry").digest()


def _checked(head: Any, payload: bytes) -> Entry:
    """The entry with this head; every field must be there, of its kind, and no other. Raises Odd."""
    if not exact.is_object(head) or head.keys() != _HEAD:
        raise Odd("schema")
    if set(map(type, _words_of(head))) != {str} or head["kind"] not in _KINDS:
        raise Odd("schema")
    made, ttl, took = _times_of(head)
    if not {type(made), type(ttl), type(took)} <= _NUMBERS:
        raise Odd("time")
    if not (0 < made < _LAST and 0 < ttl <= YEAR and 0 <= took < _LAST):
        raise Odd("time")
    cost, usage = head["cost"], head["usage"]
    if not (cost is None or (type(cost) is int and cost >= 0)):
        raise Odd("schema")
    if not (usage is None or exact.is_object(usage)):
        raise Odd("schema")
    given: dict[str, Any] = {**head, "headers": _pairs(head["headers"]), "payload": payload}
    entry = object.__new__(Entry)  # what `Entry(**given)` does, in a third of the time: all of it has been checked
    for name, put in _PUT:
        put(entry, given[name])
    return entry


def _pairs(value: object) -> Pairs:
    if not exact.is_list(value):
        raise Odd("schema")
    for pair in value:
        if not (exact.is_list(pair) and len(pair) == 2 and type(pair[0]) is str and type(pair[1]) is str):
            raise Odd("schema")
    return tuple([(name, text) for name, text in value])
