# The image has the program in a virtual environment, on top of a Python image that others maintain.
#
#   docker build --tag registry.example/wharfinger:0.1 .
#
# docs/deploy.md says how to run it.
#
# requirements.lock has the versions of the dependencies, and the hashes of their files. To build without a package index,
# first fill a folder with them, using the Python version of the image:
#
#   pip wheel --wheel-dir wheels --require-hashes -r requirements.lock
#   pip wheel --wheel-dir wheels 'setuptools>=70.1'
#
# All dependencies are then taken from this folder, whatever it has of them, because the wheels that pip built itself
# have no hash in the lock. The program itself is always built from this tree.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build

# .dockerignore excludes everything but the files that the image is built from, and wheels/ if it exists.
COPY . /source
WORKDIR /source

# The image's environment has no pip, so that nothing in it can install packages. The pip of a second environment fills
# it. What is in it is then written down as CycloneDX JSON.
RUN set -e; \
    python -m venv --without-pip /opt/wharfinger; \
    python -m venv /tmp/tools; \
    install='/tmp/tools/bin/pip --python /opt/wharfinger/bin/python --disable-pip-version-check \
        install --no-cache-dir --no-compile'; \
    if ls wheels/*.whl >/dev/null 2>&1; then \
        $install --no-index --find-links=wheels .; \
    else \
        $install --require-hashes -r requirements.lock; \
        $install .; \
    fi; \
    /opt/wharfinger/bin/python scripts/sbom.py >/opt/wharfinger/wharfinger.cdx.json

# Compile the environment, and what it imports from the standard library, to bytecode. The official images come without
# bytecode, and a read-only container could never store it, so each start (also of the health check) would compile 500
# modules again. The bytecode is below /opt/wharfinger, so the COPY below includes it. Importing every module of the
# program, of which an agent loads some only when it needs them, compiles the imported modules of the standard library,
# and checks that everything can be imported.
ENV PYTHONPYCACHEPREFIX=/opt/wharfinger/bytecode
RUN set -e; \
    python -m compileall -q /opt/wharfinger/lib; \
    /opt/wharfinger/bin/python -c 'import controller, pkgutil; \
        [__import__(each.name) for each in pkgutil.walk_packages(controller.__path__, "controller.")]'; \
    /opt/wharfinger/bin/wharfinger run --help >/dev/null


FROM ${PYTHON_IMAGE}

COPY --from=build /opt/wharfinger /opt/wharfinger

ENV PATH=/opt/wharfinger/bin:${PATH} \
    PYTHONPYCACHEPREFIX=/opt/wharfinger/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# There is no USER, so the default is root, because the engine's socket belongs to root. The agent also runs as another
# user with the socket's group, with a read-only file system, and without capabilities: see docs/deploy.md.

# There is no EXPOSE, because with host networking an exposed port is a service: the agent would register itself.

# The check asks the agent at the address in WHARFINGER_LISTEN. If you set --listen on the command line, also set
# WHARFINGER_LISTEN to the same value, or run the container with --no-healthcheck. If WHARFINGER_LISTEN is empty, there is
# no HTTP server to ask, and the check succeeds.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["wharfinger", "health"]

# The agent handles TERM itself, also as process 1: it ends within a second and leaves the entries. With -ttl, they
# expire.
ENTRYPOINT ["wharfinger"]

ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wharfinger" \
      org.opencontainers.image.description="Keeps a part of etcd in step with the containers of a Docker host" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
