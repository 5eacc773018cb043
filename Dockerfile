# syntax=docker/dockerfile:1
# The sidecar. `docker build -t llm-edge .`; docs/deploy.md says the rest.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=serve,otel
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY llm_edge ./llm_edge
# An environment of its own without pip: what is copied below is all there is.
RUN python -m venv --without-pip /app \
    && python -m pip --python /app/bin/python install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="llm-edge" \
      org.opencontainers.image.description="An LLM gateway over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8080
WORKDIR /var/empty
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["llm-edge", "health"]
ENTRYPOINT ["llm-edge"]
CMD ["serve"]
