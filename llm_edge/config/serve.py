"""The section of the sidecar: where it listens, whom it lets in, and how much it takes at once."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from . import values
from .auth import ServeAuthConfig, ServeCorsConfig
from .sections import Section
from .values import refuse


def host(value: str) -> str:
    """An address or a name to listen on."""
    if value == "localhost":
        return value
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:
        raise refuse("is not an IP address", 'Write one, as in "127.0.0.1", "0.0.0.0" or "::1".') from None


def network(value: str) -> str:
    """An address, or all that begin like it."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise refuse("is neither an IP address nor a network", 'Write it as in "10.0.0.0/8" or "::1".') from None


Host = Annotated[str, AfterValidator(host)]
Network = Annotated[str, AfterValidator(network)]
Port = Annotated[int, BeforeValidator(values.not_a_switch), Field(ge=1, le=65535)]
Workers = Annotated[int, BeforeValidator(values.not_a_switch), Field(ge=1, le=1024)]
Drain = Annotated[float, BeforeValidator(values.not_a_switch), Field(gt=0, le=604_800, allow_inf_nan=False)]


class ServeTlsConfig(Section):
    """The sidecar's own certificate, and whose certificates it asks for."""

    cert_file: values.FilePath | None = Field(
        default=None,
        description="The certificate with those that vouch for it, as PEM. Without it plain HTTP is spoken.",
        examples=["/etc/ssl/edge.pem"],
    )
    key_file: values.FilePath | None = Field(
        default=None, description="The key of cert_file, as PEM.", examples=["/etc/ssl/edge.key"]
    )
    minimum: values.TlsMinimum = Field(default="1.2", description='The oldest TLS that is spoken: "1.2" or "1.3".')
    client_ca_file: values.FilePath | None = Field(
        default=None,
        description="Who vouches for the callers' certificates, as PEM; with it callers without one are not let in.",
        examples=["/etc/ssl/clients-ca.pem"],
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.cert_file and not self.key_file:
            raise refuse("is missing", "Set it to the key of cert_file.", field="key_file")
        if self.key_file and not self.cert_file:
            raise refuse("is missing", "Set it to the certificate that goes with key_file.", field="cert_file")
        if self.client_ca_file and not self.cert_file:
            raise refuse("is missing", "Callers show certificates only over TLS: set it.", field="cert_file")
        return self


class ServeAddressesConfig(Section):
    """Where callers come from, and how often one address may ask, before anything is known about who it is."""

    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(values.one_or_many)] = Field(
        default=(),
        description="Proxies in front of the sidecar, as addresses or networks: what they say of where a caller comes"
        " from is believed. Default: none.",
        examples=[("10.0.0.0/8",)],
    )
    header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="Where they say it. The other one is not read: a caller could have written it.",
    )
    requests_per_minute: values.Count | None = Field(
        default=None,
        description="How often an address (in IPv6 a /64) may ask; each worker counts for itself. Default: unlimited.",
        examples=[600],
    )
    burst: values.Count | None = Field(
        default=None, description="Requests that may come at once. Default: a fifth of the rate.", examples=[100]
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.burst and not self.requests_per_minute:
            raise refuse("has no rate to go with", "Set requests_per_minute.", field="burst")
        return self


class ServeConfig(Section):
    """The sidecar: `python -m llm_edge.serve`."""

    host: Host = Field(
        default="127.0.0.1", description='Where it listens: "127.0.0.1" for this machine, "0.0.0.0" for all that ask.'
    )
    port: Port = Field(default=8080, description="The port it listens on.")
    share_port: bool = Field(
        default=False,
        description="Whether another sidecar may listen there already, to be stopped when this one answers. The system"
        " deals the connections out between them.",
    )
    workers: Workers = Field(default=1, description="Processes that answer.")
    connections: values.Count = Field(default=1024, description="Connections at most, for each process.")
    max_body: values.Size = Field(
        default=10 * 2**20, description="The largest request that is read, on the wire and after inflating."
    )
    header_timeout: values.Seconds = Field(
        default=10.0, description="How long the headers of a request may take, in seconds."
    )
    body_timeout: values.Seconds = Field(
        default=30.0, description="How long the body of a request may take, in seconds."
    )
    write_timeout: values.Seconds = Field(
        default=30.0, description="How long a caller may read nothing of a stream before it is cut, in seconds."
    )
    heartbeat: values.Seconds = Field(
        default=15.0, description="After so many seconds of silence in a stream a comment goes out, to keep it open."
    )
    drain: Drain = Field(
        default=30.0, description="How long running answers may take to finish when it is told to stop, in seconds."
    )
    pass_through: values.Name | None = Field(
        default=None,
        description="The provider that is asked for the paths under /v1/ that llm_edge does not know; the sidecar's"
        " own key is shown there. Default: such paths are refused.",
        examples=["openai"],
    )
    metrics: bool = Field(default=True, description="Whether calls are counted for Prometheus, under /metrics.")
    dashboard: bool = Field(
        default=True, description="Whether there is a page on how it does, under /dashboard, for who may `admin`."
    )
    websocket: bool = Field(default=True, description="Whether calls are taken over a WebSocket too, under /v1/ws.")
    websocket_calls: values.Count = Field(default=16, description="Calls at once, for each WebSocket.")
    docs: bool = Field(default=True, description="Whether it says what can be asked, under /docs and /openapi.json.")
    metrics_port: Port | None = Field(
        default=None,
        description="A port of its own for /metrics. Default: the one of all else.",
        examples=[9090],
    )
    compress: bool = Field(
        default=True, description="Whether answers that are no streams are compressed for who asks for it."
    )
    tls: ServeTlsConfig = Field(default_factory=ServeTlsConfig.unset, description="HTTPS for the sidecar itself.")
    auth: ServeAuthConfig = Field(default_factory=ServeAuthConfig.unset, description="Who is let in.")
    cors: ServeCorsConfig = Field(default_factory=ServeCorsConfig.unset, description="Pages in browsers that may ask.")
    addresses: ServeAddressesConfig = Field(
        default_factory=ServeAddressesConfig.unset, description="Where callers come from, and how often."
    )

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.metrics_port == self.port:
            raise refuse("is the port of everything else", "Leave it out, or choose another.", field="metrics_port")
        return self
