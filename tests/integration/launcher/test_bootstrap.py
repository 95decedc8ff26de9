"""The bootstrap script, on a copy with a lock of one tiny package, so that each start is a matter of seconds."""

import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import types
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import until

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[3] / "tambour"

MAIN = """
import json, os, sys, tiny
print(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "prefix": sys.prefix, "tiny": tiny.VERSION}))
"""


@dataclass(frozen=True)
class Copy:
    """A clone of the project, reduced to what the script looks at."""

    root: Path
    home: Path
    wheels: Path

    def lock(self, version: str, digest: str | None = None) -> None:
        """Make a wheel of that version of the package “tiny”, and the lock that names it."""
        wheel = self.wheels / f"tiny-{version}-py3-none-any.whl"
        information = f"tiny-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny.py", f"VERSION = {version!r}\n")
            archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
            archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{information}/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
            archive.writestr(f"{information}/RECORD", "")
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.root / "requirements.lock").write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(self.root / "tambour"), *arguments],
            env={
                **os.environ,
                "TAMBOUR_HOME": str(self.home),
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(self.wheels),
                **environ,
            },
            cwd=self.wheels,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    @property
    def environments(self) -> list[str]:
        return [path.name for path in (self.home / "env").iterdir() if path.name != ".lock"]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    made = Copy(tmp_path / "clone", tmp_path / "home", tmp_path / "wheels")
    made.wheels.mkdir()
    (made.root / "launcher").mkdir(parents=True)
    (made.root / "launcher" / "__init__.py").touch()
    (made.root / "launcher" / "__main__.py").write_text(MAIN)
    (made.root / "tambour").write_bytes(SCRIPT.read_bytes())
    made.lock("1.0")
    return made


@pytest.fixture
def script() -> types.ModuleType:
    loader = importlib.machinery.SourceFileLoader("tambour_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("tambour_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_first_start_makes_the_environment_and_passes_arguments_and_folder_on(copy: Copy) -> None:
    # a folder named like a package of ours, in the user's current folder, must not be taken for ours
    (copy.wheels / "launcher").mkdir()
    (copy.wheels / "launcher" / "__main__.py").write_text("raise SystemExit('the wrong one')")
    code, out, err = copy.run("demo", "--once", "a b")
    assert code == 0, err
    said = json.loads(out)
    assert said["arguments"] == ["demo", "--once", "a b"]
    assert said["folder"] == str(copy.wheels)
    assert said["tiny"] == "1.0"
    assert said["prefix"] == str(copy.home / "env" / copy.environments[0])
    command = Path(said["prefix"]) / "bin" / "tiny"
    assert command.read_text().startswith(f"#!{said['prefix']}/bin/python")


def test_second_start_needs_neither_network_nor_packages(copy: Copy) -> None:
    assert copy.run()[0] == 0
    (copy.wheels / "tiny-1.0-py3-none-any.whl").unlink()
    code, _, err = copy.run()
    assert (code, err) == (0, "")


def test_two_starts_at_once_make_one_environment(copy: Copy) -> None:
    starts = [copy.start() for _ in range(2)]
    results = [(*start.communicate(timeout=120), start.returncode) for start in starts]
    assert [code for _, _, code in results] == [0, 0]
    assert results[0][0] == results[1][0]
    assert sum("Preparing" in err for _, err, _ in results) == 1
    assert len(copy.environments) == 1


def test_start_killed_half_way_leaves_nothing_that_the_next_takes_for_done(copy: Copy) -> None:
    first = copy.start()
    until(lambda: list(copy.home.glob("env/.new-*/bin/python")), what="a half-made environment")
    first.kill()
    first.communicate()
    code, _, err = copy.run()
    assert code == 0, err
    assert [name for name in copy.environments if name.startswith(".new-")] == []


def test_changed_lock_gets_a_new_environment_and_the_former_is_removed(copy: Copy) -> None:
    copy.run()
    copy.lock("2.0")
    _, out, _ = copy.run()
    assert json.loads(out)["tiny"] == "2.0"
    assert len(copy.environments) == 1


def test_environment_that_is_still_in_use_is_not_removed(copy: Copy) -> None:
    (copy.root / "launcher" / "__main__.py").write_text("import sys; print('up', flush=True); sys.stdin.read()")
    running = copy.start()
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    (copy.root / "launcher" / "__main__.py").write_text(MAIN)
    copy.lock("2.0")
    assert copy.run()[0] == 0
    assert len(copy.environments) == 2
    running.kill()
    running.communicate()


def test_package_that_is_not_what_the_lock_names_is_not_installed(copy: Copy) -> None:
    copy.lock("1.0", digest="0" * 64)
    code, _, err = copy.run()
    assert code == 69
    assert "not the file that the lock names" in err
    assert copy.environments == []


def test_no_network_at_the_first_start_is_said_with_the_ways_to_mend_it(copy: Copy, free_port: int) -> None:
    environ = {"PIP_FIND_LINKS": "", "PIP_INDEX_URL": f"http://127.0.0.1:{free_port}/simple", "PIP_NO_INDEX": "0"}
    code, _, err = copy.run(**environ)
    assert code == 69
    assert "index cannot be reached" in err
    assert "HTTPS_PROXY" in err
    assert copy.environments == []


def test_home_that_cannot_be_made_is_said_with_the_variable_that_chooses_another(copy: Copy) -> None:
    code, _, err = copy.run(TAMBOUR_HOME=str(copy.wheels / "tiny-1.0-py3-none-any.whl"))
    assert code == 78
    assert "cannot write" in err
    assert "TAMBOUR_HOME" in err


def old_python(path: str) -> "subprocess.CompletedProcess[str]":
    """The script as an old Python would run it."""
    program = (
        "import sys\n"
        "sys.version_info = (3, 8, 0, 'final', 0)\n"
        f"sys.argv = [{str(SCRIPT)!r}, 'demo']\n"
        f"exec(compile(open({str(SCRIPT)!r}).read(), {str(SCRIPT)!r}, 'exec'),"
        f" {{'__name__': '__main__', '__file__': {str(SCRIPT)!r}}})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], env={"PATH": path}, capture_output=True, text=True, timeout=30
    )


def test_python_that_is_too_old_is_named_with_what_is_needed(tmp_path: Path) -> None:
    done = old_python(str(tmp_path))
    assert done.returncode == 78
    assert "Python 3.11 or newer is needed; this is 3.8" in done.stderr


def test_newer_python_on_the_path_takes_over_from_one_that_is_too_old(tmp_path: Path) -> None:
    newer = tmp_path / "python3.12"
    newer.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho taken over by "$0" with "$2"\n')
    newer.chmod(0o755)
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    done = old_python(str(tmp_path))
    assert done.stdout == f"taken over by {newer} with demo\n", done.stderr


def test_full_disk_is_said_as_such(script: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.explain_pip(["ERROR: Could not install: [Errno 28] No space left on device"], "/srv/env")
    assert "disk of /srv/env" in capsys.readouterr().err


def test_python_without_ensurepip_installs_with_its_own_pip(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "has_module", lambda name: False)
    new = str(tmp_path / "new")
    assert script.make_venv(new) == [sys.executable, "-m", "pip", "--python", f"{new}/bin/python"]


def test_script_is_read_by_pythons_that_are_too_old_to_run_it() -> None:
    newer = (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom, ast.Match)
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [node for node in ast.walk(tree) if isinstance(node, newer)] == []
    assert [node.name for node in functions if node.returns or node.args.kwonlyargs or node.args.posonlyargs] == []


def test_python_without_pip_and_without_an_index_is_told_what_to_install(
    script: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    with pytest.raises(SystemExit) as ended:
        script.fetch_pip(str(tmp_path))
    said = capsys.readouterr().err
    assert ended.value.code == 78
    assert "python3-venv" in said and "PIP_INDEX_URL" in said
    assert list(tmp_path.iterdir()) == []
