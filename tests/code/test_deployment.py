"""What is deployed: Kubernetes manifests and the requirements of the service."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support.commands import ROOT
from support.serving import read_requirements

MANIFESTS = {"service.yaml": ["Deployment", "Service"], "train-job.yaml": ["Service", "Job"]}
SERVING = ROOT / "src/classifier/serving"


def load_manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / ".github/kubernetes" / name).read_text()))


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_fits_the_schema_of_kubernetes(name: str) -> None:
    manifests = load_manifests(name)
    assert [manifest["kind"] for manifest in manifests] == MANIFESTS[name]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_deployment_probes_the_routes_of_the_service() -> None:
    deployment, service = load_manifests("service.yaml")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 3000}]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2 and container["resources"].keys() == {"requests", "limits"}


def test_train_job_names_as_many_processes_as_pods() -> None:
    service, job = load_manifests("train-job.yaml")
    container = job["spec"]["template"]["spec"]["containers"][0]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert int(env["KERAS_DISTRIBUTION_NUM_PROCESSES"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    first_pod = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert env["KERAS_DISTRIBUTION_JOB_ADDRESSES"].startswith(f"{first_pod}:")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}


def test_requirements_of_the_service_are_pinned_as_in_requirements_freeze() -> None:
    pins, frozen, tests = (
        {requirement.partition(";")[0]: hashes for requirement, hashes in read_requirements(path)}
        for path in (SERVING / "requirements.txt", ROOT / "requirements-freeze.txt", ROOT / "tests/requirements.txt")
    )
    frozen |= {pin: hashes for pin, hashes in tests.items() if pin.startswith("pi-heif==")}  # optional, for HEIC
    assert pins and all(hashes and frozen.get(pin) == hashes for pin, hashes in pins.items())
    names = {pin.partition("==")[0] for pin in pins}
    assert names >= set(re.findall(r"^[\w-]+", (SERVING / "requirements.in").read_text(), re.MULTILINE))


def test_requirements_of_the_service_name_no_address_and_no_folder() -> None:
    text = (SERVING / "requirements.txt").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|(^|\s)/\w", text, re.MULTILINE)
