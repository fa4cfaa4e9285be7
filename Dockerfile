# The image: the program in a virtual environment, on a Python that somebody else maintains.
#
#   docker build --tag registry.example/wharfinger:0.1 .
#
# docs/deploy.md says how to run it.
#
# Without an index to install from, fill a folder beforehand, with a Python of the same version as the image's:
#
#   pip wheel --wheel-dir wheels . 'setuptools>=70.1'
#
# The dependencies are then taken from there, and from nowhere else; the program itself is always built from this tree.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build

# .dockerignore lets through what the program is built from, and wheels/ where there is one.
COPY . /source
WORKDIR /source

# An environment without pip for the image, filled by the pip of another one. etcd3gw's pbr asks for setuptools, which only
# builds of its own need: out again with what could install more.
RUN set -e; \
    python -m venv --without-pip /opt/wharfinger; \
    python -m venv /tmp/tools; \
    only=''; \
    if ls wheels/*.whl >/dev/null 2>&1; then only='--no-index --find-links=wheels'; fi; \
    /tmp/tools/bin/pip --python /opt/wharfinger/bin/python --disable-pip-version-check \
        install --no-cache-dir --no-compile $only .; \
    /tmp/tools/bin/pip --python /opt/wharfinger/bin/python --disable-pip-version-check uninstall --yes setuptools

# Bytecode of the environment, and of what it imports from the standard library: the official images come without, a
# read-only container could never keep it, and each start, the health check's too, would compile 500 modules anew. In a
# tree of its own, so that one COPY takes it along. The first run also shows that everything can be imported.
ENV PYTHONPYCACHEPREFIX=/opt/wharfinger/bytecode
RUN set -e; \
    python -m compileall -q /opt/wharfinger/lib; \
    /opt/wharfinger/bin/wharfinger run --help >/dev/null


FROM ${PYTHON_IMAGE}

COPY --from=build /opt/wharfinger /opt/wharfinger

ENV PATH=/opt/wharfinger/bin:${PATH} \
    PYTHONPYCACHEPREFIX=/opt/wharfinger/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Root unless told otherwise, because the engine's socket is root's. Another user with the socket's group will do, a
# read-only file system and no capabilities at all, too: docs/deploy.md.

# No EXPOSE, on purpose: with host networking an exposed port is a service, and the agent would register itself.

# It finds the port by WHARFINGER_LISTEN; who sets --listen on the command line sets --no-healthcheck or this as well.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["wharfinger", "health"]

# As process 1 it handles TERM itself: it ends within a second and leaves the entries.
ENTRYPOINT ["wharfinger"]

ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wharfinger" \
      org.opencontainers.image.description="Keeps a part of etcd in step with the containers of a Docker host" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
