"""Texts made fit to be kept by others: without the house's secrets, by their value, and without personal data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from ..policy.pii import redacted

LEAST: Final = 6
"""Characters of a secret that is known by its value; shorter ones are parts of too many words."""
STARS: Final = "[SECRET]"


class Redactor:
    """Takes out what nobody should read. The longest secrets go first, for one may hold another."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= LEAST}
        self._secrets = sorted(forms, key=lambda form: (-len(form), form))

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def of(self, secrets: Iterable[str]) -> Redactor:
        """Another one, of these secrets."""
        return Redactor(secrets)

    def text(self, text: str) -> str:
        """The text without secrets, e-mail addresses, telephone numbers and so on."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, STARS)
        return redacted(text)

    def value(self, value: Any) -> Any:
        """The same of whatever JSON can hold; numbers stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            table = cast("Mapping[object, Any]", value)  # as JSON has it, or nearly
            return {self.text(str(key)): self.value(each) for key, each in table.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in cast("Iterable[Any]", value)]  # the same
        return value if value is None or isinstance(value, (bool, int, float)) else self.text(str(value))


def _forms(secret: str) -> Iterable[str]:
    """How a secret may be written; of an address the password as well."""
    yield secret
    yield quote(secret, safe="")
    if "://" in secret:
        try:
            password = urlsplit(secret).password
        except ValueError:
            return
        if password:
            yield password
