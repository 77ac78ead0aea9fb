"""A DVC remote on S3: on a server of moto's, started for the test."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tiny_study import Study

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (find_spec("dvc_s3") and find_spec("moto")), reason="needs dvc-s3 and moto: make moto"
    ),
]

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print("address", *server.get_host_and_port(), flush=True)
input()
"""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 with a bucket called study."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        lines = iter(process.stdout.readline, "")
        _, host, port = next(line for line in lines if line.startswith("address ")).split()
        address = f"http://{host}:{port}"
        import boto3

        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="study")
        yield address
    finally:
        process.communicate("\n", timeout=30)


def test_a_study_through_s3(s3: str, tmp_path: Path) -> None:
    study = Study(tmp_path / "made", declared=True)  # the files, whatever is in them, travel
    study.dvc()
    study.call("dvc", "remote", "add", "--default", "storage", "s3://study/tiny")
    study.call("dvc", "remote", "modify", "storage", "endpointurl", s3)
    study.commit()
    assert re.search(r"\d+ files pushed", study.call("dvc", "push"))
    study.assert_pulled_by(tmp_path / "clone")
