"""What is inside an `EdgeClient`: its settings, the house, the chains of both colours, those who listen."""

from __future__ import annotations

from .build import House, trunk
from .chains import Chains, http_settings
from .config import EdgeConfig, as_config, resolve
from .direct import Asking
from .given import Given
from .hearing import Hearing
from .providers.table import key_env, setting_env
from .runtime import ThreadClock


class Inside:
    """Put together at once. Raises ConfigError when a setting cannot be used."""

    def __init__(self, given: Given) -> None:
        config = EdgeConfig.unset() if given.config is None else as_config(given.config)
        clock = given.clock
        self.config = config.changed(**given.sections) if given.sections else config
        secrets = resolve(self.config, given.env, key_env(), setting_env())
        self.house = house = House(
            self.config, secrets, chance=given.chance, clock=clock, credentials=given.credentials
        )
        self.asking = Asking(self.config.routes, clock or ThreadClock())
        self.chains = Chains(
            http_settings(self.config, secrets), clock,
            lambda runtime, send: trunk(house, runtime, send, layers=given.layers),
        )  # fmt: skip
        self.hearing = Hearing(house, clock, given.tracer_provider, given.meter_provider)
