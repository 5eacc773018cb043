"""The HTTP engines that send one request to a provider. They decide nothing about a call and follow no redirect."""

from .choose import choose, refuse
from .settings import HttpSettings

__all__ = ["HttpSettings", "choose", "refuse"]
