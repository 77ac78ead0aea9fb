# The study in a container, from the lock: docs/runners.md has the commands.
ARG BASE=python:3.12-slim
FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock /opt/
RUN python3 -m venv /opt/venv \
    && python -m pip install --no-cache-dir --no-deps --require-hashes -r /opt/requirements.lock
WORKDIR /study
COPY . .
# make finds its environment, finished; the command is where it would have put it.
RUN ln -s /opt/venv .venv \
    && ln -s /study/tools/shuffle-to-learn /opt/venv/bin/ \
    && touch /opt/venv/.installed
CMD ["make", "help"]
