"""The deployment files in docs/operating.md: they parse, and they agree with the image and the settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Settings
from tests.test_dockerfile import last, settings

PAGE = (Path(__file__).parents[1] / "docs" / "operating.md").read_text()
HOME = settings()["GATEWAY_HOME"]


def block(language: str, text: str) -> str:
    """The one block of that language which contains `text`."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [body for kind, body in blocks if kind == language and text in body]
    return str(found)


@pytest.fixture
def manifests() -> dict[str, Any]:
    """The Kubernetes manifests by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(block("yaml", "kind: Deployment"))}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_compose_file_fits_the_image() -> None:
    compose = yaml.safe_load(block("yaml", "services:"))
    service = compose["services"]["gateway"]
    name, _, place = service["volumes"][0].partition(":")
    assert (name in compose["volumes"], place) == (True, last("VOLUME").text)
    assert service["ports"] == [f"127.0.0.1:8787:{last('EXPOSE').text}"]
    assert service["read_only"]
    assert service["tmpfs"][0].startswith("/tmp:")
    assert seconds(service["stop_grace_period"]) > Settings.model_fields["grace_s"].default


def test_the_pod_fits_the_image(manifests: dict[str, Any]) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = pod["securityContext"]
    assert f"{user['runAsUser']}:{user['runAsGroup']}" == last("USER").text
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert (mounts["store"], mounts["tmp"]) == (HOME, settings()["HOME"])
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["grace_s"].default
    assert pod["enableServiceLinks"] is False
    for setting in container["env"]:
        assert setting["name"].removeprefix("GATEWAY_").lower() in Settings.model_fields
        folder = setting["value"].rpartition("/")[0]
        assert not folder or folder in mounts.values()


def test_the_claims_ports_and_labels_of_the_manifests_agree(manifests: dict[str, Any]) -> None:
    deployment, service = manifests["Deployment"]["spec"], manifests["Service"]["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == service["selector"] == labels
    claims = [volume["persistentVolumeClaim"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": manifests["PersistentVolumeClaim"]["metadata"]["name"]}]
    (port,) = pod["spec"]["containers"][0]["ports"]
    assert str(port["containerPort"]) == last("EXPOSE").text
    assert service["ports"][0]["targetPort"] == port["name"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = block("ini", "[Service]")
    # The check wants to see the command and the user; both are the reader's to make.
    unit = unit.replace("/opt/gateway/.venv/bin/gateway", "/bin/true").replace("User=gateway\n", "")
    path = tmp_path / "gateway.service"
    path.write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert not [line for line in done.stderr.splitlines() if "gateway.service" in line]
