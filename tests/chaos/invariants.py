"""What has to hold whatever happens, by name, and how often it was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

INVARIANTS = {
    "I1": "without faults, N different questions are asked N times",
    "I1s": "without faults, a question many ask is asked once for each way of asking",
    "I1w": "a question is never on its way twice, where all ask for the whole answer",
    "I2": "every call in ends once: answered, failed, or given up",
    "I3": "afterwards no money is reserved, and what the provider counted is spent",
    "I4": "a provider is asked no more than its limit says, in any window",
    "I5": "no more calls in flight than the limit says",
    "I6": "a stream is the provider's words, or their beginning and one error",
    "I7": "every answer belongs to its question",
    "I8": "attempts stay within what retries and targets allow",
    "I9": "a breaker that is half open has one probe out",
    "I10": "no call outlives its deadline by more than 100 ms",
    "I11": "afterwards no task, thread, file, connection or permit is left",
    "I12": "memory does not grow with those who call",
}
GATES = {
    "answered": "as many calls are answered as have to be",
    "breaker": "a breaker opens when it has to, and swings no faster than it stays open",
    "disk": "an answer on disk is whole and its own, or a miss, whatever is done to the disk",
    "store": "no call waits for a store that does not answer",
}


@dataclass
class Tally:
    """How often each of them was looked at, and where it broke."""

    checked: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def note(self, name: str, holds: bool, where: str, words: str) -> None:
        self.checked[name] += 1
        if not holds:
            self.broken[name] += 1
            self.breaches.append(f"{where}: {name} ({(INVARIANTS | GATES)[name]}): {words}")

    def add(self, other: Tally) -> None:
        self.checked += other.checked
        self.broken += other.broken
        self.breaches += other.breaches

    def table(self) -> str:
        """A line for each that was looked at."""
        rows = [
            f"  {name:8} {words:72} checked {self.checked[name]:8,}  broken {self.broken[name]}"
            for name, words in (INVARIANTS | GATES).items()
            if self.checked[name]
        ]
        return "\n".join(rows)
