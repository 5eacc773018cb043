"""What a client tells of money: who spent what, and how its budgets stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from .errors import ConfigError
from .runtime import Awaiting, Blocking, Clock, ThreadClock, drive

if TYPE_CHECKING:
    from .budgets import BudgetStanding
    from .build import House
    from .money.spend import By, Question, Spent, When


class Asked(TypedDict, total=False):
    """What a question about spending may hold besides whose sums it is about."""

    since: When | None
    until: When | None
    source: Literal["memory", "log"] | None
    tenant: str | None
    key: str | None
    user: str | None
    route: str | None
    model: str | None
    target: str | None


_ASKED = Asked.__optional_keys__


class Accounting:
    """The part of an `EdgeClient` that answers questions about money."""

    _clock: Clock | None

    if TYPE_CHECKING:

        @property
        def _house(self) -> House: ...

    def spend(self, by: By = "tenant", **asked: Unpack[Asked]) -> list[Spent]:
        """
        Who spent what, the dearest first: `edge.spend("user", since="24h", tenant="acme")`.

        `by` is `tenant`, `key`, `user`, `route`, `model`, `provider`, `target`, `hour`, `day` or `month` (of UTC). The
        sums come from the usage log where there is one, with all processes and runs that it holds; else, or with
        `source="memory"`, they are of this client's calls in this process, by whole hours. `since` and `until` are
        dates, datetimes, the same as text, seconds since 1970, or spans back from now (`24h`, `7d`). `tenant`, `key`,
        `user`, `route`, `model` and `target` leave out all others. Raises ConfigError.
        """
        from .money.spend import summed
        from .money.usage_log import read

        if unknown := asked.keys() - _ASKED:
            raise ConfigError(f"{min(unknown)}: nobody can be asked for by it. Use {', '.join(sorted(_ASKED))}.")
        path, source = self._house.config.telemetry.usage_log, asked.get("source")
        question = self._question(by, asked)
        if source not in {None, "memory", "log"}:
            raise ConfigError(f'source: {source!r} is none. Use "memory" or "log".')
        if source == "log" and path is None:
            raise ConfigError('there is no usage log: set telemetry.usage_log, or ask with source="memory".')
        if path is None or source == "memory":
            return self._house.tab.spent(question)
        return summed(read(path, question), question)

    async def aspend(self, by: By = "tenant", **asked: Unpack[Asked]) -> list[Spent]:
        """`spend` for event loops: a long log is read in a thread."""
        import asyncio

        return await asyncio.to_thread(lambda: self.spend(by, **asked))

    def budgets(self, *subjects: str) -> list[BudgetStanding]:
        """
        How budgets stand: those with a name of their own and those of whoever has called here, or those of `subjects`.

        A subject is `global`, `tenant:acme`, `model:openai/gpt-5.4`. Raises ConfigError for one without a budget, and
        EdgeError when the store of the budgets cannot be asked.
        """
        return drive(self._house.purse.standings(Blocking(self._clock), subjects))

    async def abudgets(self, *subjects: str) -> list[BudgetStanding]:
        """`budgets` for event loops."""
        return await self._house.purse.standings(Awaiting(self._clock), subjects)

    def _question(self, by: By, given: Asked) -> Question:
        from .money.spend import WHO, asked

        only: dict[str, str] = {}
        for name, value in given.items():
            if name in WHO and value is not None:
                if not isinstance(value, str):
                    raise ConfigError(f"{name}: {value!r} is no text.")
                only[name] = value
        now = (self._clock or ThreadClock()).time()
        return asked(by, given.get("since"), given.get("until"), only, now=now)
