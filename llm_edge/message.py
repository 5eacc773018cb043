"""
The envelope every layer passes along: typed frame, untouched cargo.

The cargo of a chat is the provider's JSON object. It is never modelled field by field, so
fields nobody here has heard of travel through unharmed. A request that keeps its dialect
leaves as the very bytes that came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from types import FunctionType
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar, cast, overload

from . import exact
from .notes import Notes
from .stream import Abandoned, ByteSource, Listener, OnEnd, Saved, Stream, Unwatched, Watcher, tell

Json: TypeAlias = Mapping[str, Any]
Operation: TypeAlias = Literal["chat", "completions", "embeddings", "count", "models", "opaque"]
UNCHARGED: Final = frozenset[Operation]({"opaque", "count"})
"""What takes nothing of limits on tokens and of budgets: what we do not understand, and what costs nothing."""
Pairs: TypeAlias = tuple[tuple[str, str], ...]
Keyed: TypeAlias = tuple[object, str, str]
"""What the cache last found of a body: under which circumstances, why it is passed by, or else its key."""
T = TypeVar("T")

# Streams are part of the envelope.
__all__ = [
    "NO_CONTROLS", "UNCHARGED", "Abandoned", "Body", "ByteSource", "Controls", "Handler", "Headers", "Json", "Keyed",
    "Layer", "Listener", "OnEnd", "Operation", "Pairs", "Request", "Response", "Saved", "Stream", "Unwatched",
    "Watcher", "stack", "tell",
]  # fmt: skip


class Headers(Mapping[str, str]):
    """HTTP header fields: case-insensitive, ordered, repeats kept, never changed in place."""

    __slots__ = ("_index", "_made", "pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        # Lists and tuples first: whether something is a Mapping is slow to find out.
        if isinstance(pairs, (list, tuple)):
            self.pairs: Pairs = tuple(pairs)
        else:
            given = cast("Any", pairs)  # for type checkers a mapping could have pairs as its keys
            self.pairs = tuple(given.items() if isinstance(pairs, Mapping) else given)
        self._index: dict[str, str] | None = None
        self._made: dict[Callable[[Headers], Any], Any] | None = None

    def once(self, make: Callable[[Headers], T]) -> T:
        """
        What `make` makes of these fields, made when it is asked for first: an SDK says the same in call after call,
        and a face that sees that gives these fields again.
        """
        made = self._made
        if made is None:
            made = self._made = {}
        try:
            found: T = made[make]
        except KeyError:
            found = made[make] = make(self)
        return found

    def _indexed(self) -> dict[str, str]:
        index = self._index
        if index is None:
            index = {name.lower(): value for name, value in self.pairs}
            if len(index) < len(self.pairs):
                index = _joined(self.pairs)
            self._index = index
        return index

    @property
    def named(self) -> Mapping[str, str]:
        """Values by names in small letters; repeats stand together, with commas between them."""
        return self._index or self._indexed()

    # These are asked many times in each call, so the index is looked at before it is asked for.
    def __getitem__(self, name: str) -> str:
        return (self._index or self._indexed())[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in (self._index or self._indexed())

    # As Mapping has it, without an exception for each name that is not there.
    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str | T, /) -> str | T: ...
    def get(self, name: str, default: object = None, /) -> object:
        return (self._index or self._indexed()).get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._indexed())

    def __len__(self) -> int:
        return len(self._indexed())

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"  # names only: values may be credentials

    def lack(self, names: Set[str]) -> bool:
        """Whether none of these, in small letters, is here."""
        return names.isdisjoint(self._index or self._indexed())

    def without(self, *names: str) -> Headers:
        """These fields left out; itself when there are none of them."""
        return self.beyond(frozenset(map(str.lower, names)))

    def beyond(self, unwanted: frozenset[str]) -> Headers:
        """The fields but for these, named in small letters; itself when there are none of them."""
        index = self._index or self._indexed()
        if unwanted.isdisjoint(index):
            return self
        rest = Headers([pair for pair in self.pairs if pair[0].lower() not in unwanted])
        rest._index = {**index}
        for name in unwanted.intersection(index):
            del rest._index[name]
        return rest

    def followed_by(self, pairs: Sequence[tuple[str, str]]) -> Headers:
        """These fields after those that are here. Their names are in small letters."""
        both, index, more = Headers((*self.pairs, *pairs)), self._index, dict(pairs)
        if index is not None and len(more) == len(pairs) and index.keys().isdisjoint(more):
            both._index = {**index, **more}
        return both

    def having(self, fields: Mapping[str, str]) -> Headers:
        """These fields set, in place of any of the same name."""
        return Headers((*self.without(*fields).pairs, *fields.items()))


def _joined(pairs: Pairs) -> dict[str, str]:
    index: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        index[name] = f"{index[name]}, {value}" if name in index else value
    return index


class Body:
    """A JSON object known as bytes, as a mapping, or both; each made only when asked for."""

    __slots__ = ("_json", "_raw", "keyed")

    def __init__(self, raw: bytes | None = None, json: Json | None = None) -> None:
        if raw is None and json is None:
            raise TypeError("a Body needs bytes or a mapping")
        self._raw, self._json = raw, json
        self.keyed: Keyed | None = None

    def __repr__(self) -> str:
        return f"Body({'?' if self._raw is None else len(self._raw)} bytes)"  # never the text: it is the user's

    @property
    def raw(self) -> bytes:
        """The bytes, as they came or as JSON; ValueError or TypeError when the mapping cannot be said in JSON."""
        if self._raw is None:
            self._raw = exact.write(self._json)
        return self._raw

    @property
    def json(self) -> Json:
        """The object; ValueError when the bytes are not a JSON object."""
        if self._json is None:
            assert self._raw is not None
            loaded: Json = exact.read(self._raw)
            if not isinstance(loaded, dict):
                raise ValueError("the body is JSON, but not an object")
            self._json = loaded
        return self._json

    def with_fields(self, **changes: Any) -> Body:
        """A new body; the same one when nothing would change, so its bytes stay as they came."""
        now = self.json
        for name, value in changes.items():
            if name not in now or not exact.same(now[name], value):
                return Body(json={**now, **changes})
        return self

    def without_fields(self, *names: str) -> Body:
        """These fields left out; itself when there are none of them."""
        now = self.json
        if now.keys().isdisjoint(names):
            return self
        return Body(json={name: value for name, value in now.items() if name not in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What one call asks of llm_edge itself. `policy.controls` reads it from headers or a keyword."""

    no_cache: bool = False
    no_store: bool = False
    max_age: float | None = None
    only_if_cached: bool = False
    stale_if_error: float | None = None
    """Seconds after its end that an answer may still be given when nobody else answers."""
    coalesce: bool | None = None
    """Whether it may share an upstream call with others who ask the same at the same time."""
    semantic: bool = True
    """Whether the answer to a similar question will do, where such are looked for."""
    ttl: float | None = None
    namespace: str = ""
    route: str = ""
    deadline: float | None = None
    at_most: float | None = None
    """Seconds somebody further out still waits: shortens the deadline, never lengthens it."""
    tenant: str = ""
    user: str = ""
    """Who of the app's users asks; for limits."""
    tier: str = ""
    """The set of limits the caller is held to."""
    priority: int = 0
    """Who waits for a limit with a higher one goes first."""
    fallbacks: bool = True


NO_CONTROLS = Controls()


@dataclass(slots=True, kw_only=True)
class Request:
    """
    One call on its way down. Who wants another makes one (`replace`): others hold this one, too.

    Not frozen, for each call makes one: that would take four times as long. A test minds that nobody sets its fields.
    """

    operation: Operation = "chat"
    dialect: str = "openai.chat"
    """Whose JSON the body is: `openai.chat`, `anthropic.messages`, …; `opaque` for what we do not know."""
    body: Body
    model: str = ""
    streaming: bool = False
    method: str = "POST"
    url: str = ""
    """Where the caller addressed it; empty for a direct call, which addresses nobody."""
    headers: Headers = field(default_factory=Headers)
    upload: ByteSource | None = None
    """A body that can be sent only once, in place of `body`."""
    native: tuple[str, Any] | None = None
    """The HTTP library's name and its own request, for a transport the app gave, where a call passes untouched."""
    timeout: float | None = None
    """Seconds the caller allows for the whole call, when it says so."""
    deadline: float | None = None
    """The moment on the clock when the call is over; the deadline layer sets it."""
    route: str = ""
    """The configured route it belongs to, if any; settings may differ by route."""
    scope: str = ""
    """Fingerprint of the caller's credential: what it may not share with others."""
    continues: bool = False
    """Its last message is the beginning of an answer: only a model that goes on with it may be asked."""
    controls: Controls = NO_CONTROLS
    notes: Notes = field(default_factory=Notes)

    def due(self, moment: float) -> Request:
        """
        This call, over at this moment.

        In place, for the deadline layer alone: it stands so far out that nobody else holds the call yet, and a copy
        would cost every call more than that layer does.
        """
        self.deadline = moment
        return self

    def anew(self, notes: Notes) -> Request:
        """The same call, asked once more: its story is its own."""
        new = object.__new__(Request)
        (
            new.operation, new.dialect, new.body, new.model, new.streaming, new.method, new.url, new.headers,
            new.upload, new.native, new.timeout, new.deadline, new.route, new.scope, new.continues, new.controls,
            new.notes,
        ) = _VALUES(self)  # fmt: skip
        new.notes = notes
        return new

    def with_body(self, **changes: Any) -> Request:
        body = self.body.with_fields(**changes)
        return self if body is self.body else replace(self, body=body)


_VALUES: Callable[[Request], tuple[Any, ...]] = attrgetter(*[each.name for each in fields(Request)])


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer on its way up: a body, or a stream."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Body | None = None
    stream: Stream | None = None
    native: Any = None
    """The HTTP library's own response, of a call that passed untouched."""

    def finally_(self, call: Callable[[BaseException | None], None]) -> None:
        """Run `call` when the answer is fully over: now for a body, at its end for a stream."""
        if self.stream is None:
            call(None)
        else:
            self.stream.listen(OnEnd(call))


class Handler(Protocol):
    """The rest of the chain, from here down."""

    async def __call__(self, request: Request, /) -> Response: ...


class Layer(Protocol):
    """One thing done to every call: before it, after it, or in its place."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response: ...


def stack(layers: Iterable[Layer], handler: Handler) -> Handler:
    """The first layer sees the request first and the response last."""
    for layer in reversed(list(layers)):
        handler = _bind(layer, handler)
    return handler


def _bind(layer: Layer, handler: Handler) -> Handler:
    # A plain function returning the layer's own coroutine: no extra frame per layer. What is called is the function
    # behind a layer, which the interpreter calls much faster than an object.
    call: Layer = layer if isinstance(layer, FunctionType) else layer.__call__
    return lambda request, /: call(request, handler)
