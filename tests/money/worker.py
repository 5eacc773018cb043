"""Processes that spend as fast as they may under one budget, and write down what they got: see `test_processes`."""

from __future__ import annotations

import os
import sys
import time

from llm_edge import BudgetExceeded, EdgeClient


def say(*words: object) -> None:
    """One line at once: several processes write to one pipe."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def work(number: int, edge: EdgeClient) -> None:
    """Says `N pid P`; `N ok COST` for each answer; `N full` when the budget has refused it five times in a row."""
    say(number, "pid", os.getpid())
    os.read(0, 1)
    refused = asked = 0
    end = time.monotonic() + 20
    while refused < 5 and time.monotonic() < end:
        asked += 1
        try:
            reply = edge.chat("gpt/m", f"{number} {asked}", max_tokens=100)
        except BudgetExceeded as error:
            refused += "in total" in str(error)  # and not that a busy store could not be asked just now
            time.sleep(0.005)
        else:
            refused = 0
            say(number, "ok", round((reply.cost or 0) * 1e9))
    say(number, "full")


def main(store: str, provider: str, usd: float, count: int) -> None:
    """So many processes, forked from a client that has done nothing yet."""
    edge = EdgeClient(
        env={}, budgets={"global": {"usd_total": usd}}, store={"kind": "redis", "url": store},
        providers={"gpt": {"kind": "openai", "base_url": f"{provider}/v1", "api_key": "k"}},
        prices={"models": {"gpt/m": {"input": 1, "output": 10}}},
        cache={"policy": "off"}, retry={"attempts": 1},
    )  # fmt: skip
    children: list[int] = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number, edge)
                edge.close()
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
