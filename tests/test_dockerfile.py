"""Dockerfile.gpu: a linter's rules, ours, and each command that it runs, as far as this machine can run it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import dockerfile
from tests.dockerfile import Instruction

ROOT = Path(__file__).parents[1]
FILE = ROOT / "Dockerfile.gpu"
INSTRUCTIONS = dockerfile.read(FILE)
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def all_of(name: str, stage: str | None = None) -> list[Instruction]:
    """The instructions of that name, of one stage or of all."""
    return [found for found in INSTRUCTIONS if found.name == name and stage in (None, found.stage)]


def last(name: str) -> Instruction:
    """The instruction of that name that counts in the image."""
    return all_of(name, "final")[-1]


def settings() -> dict[str, str]:
    """The environment that the image sets."""
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV").text))


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the file with this interpreter, and with `folder` as the root of what it reads and writes."""
    command = re.sub(r"(?<![\w/])/(?=(src|wheels|opt)\b)", f"{folder}/", command)
    command = re.sub(r"(?<![\w/])python3(?= -)|\S+/gateway/bin/python", sys.executable, command)
    command = re.sub(r"\S+/gateway/bin/pip", f"{sys.executable} -m pip", command)
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(HADOLINT is None, reason="there is no hadolint for this kind of machine")
def test_the_linter_finds_nothing() -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, "--no-color", FILE], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "")


def _pinned_bases() -> bool:
    stages = {found.stage for found in INSTRUCTIONS}
    images = [found.text.split()[0] for found in all_of("FROM")]
    return all(re.search(r":\d+\.\d+\.\d+-", image) for image in images if image not in stages)


def _sources_are_sent() -> bool:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    kept = {line[1:] for line in rules if line.startswith("!")}
    sources = [word for copy in all_of("COPY") if not copy.flags for word in copy.text.split()[:-1]]
    return rules[0] == "*" and set(sources) == kept and all((ROOT / source).exists() for source in sources)


def _no_secret_is_kept() -> bool:
    names = re.findall(r"\w+(?==)", " ".join(found.text for found in all_of("ARG") + all_of("ENV")))
    return bool(names) and not [name for name in names if re.search("KEY|TOKEN|SECRET|PASSW", name)]


RULES: dict[str, Callable[[], object]] = {
    "every base is pinned to a version": _pinned_bases,
    "every source of a COPY exists and nothing else is sent to the builder": _sources_are_sent,
    "no build argument or variable is a secret": _no_secret_is_kept,
    "the user is a number other than root's": lambda: re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER").text),
    "everything after USER leaves the file system alone": lambda: (
        not [
            found.name
            for found in INSTRUCTIONS[INSTRUCTIONS.index(last("USER")) :]
            if found.name in ("RUN", "COPY", "ADD")
        ]
    ),
    "the code comes in after the libraries": lambda: (
        not [copy for copy in all_of("COPY", "libraries") + all_of("COPY", "engine") if "gateway" in copy.text.split()]
    ),
    "the entry point is in exec form": lambda: last("ENTRYPOINT").words()[-2:] == ["--", "gateway"],
    "the command is in exec form": lambda: last("CMD").words() == ["serve"],
    "the health check is in exec form": lambda: last("HEALTHCHECK").words(),
    "SIGTERM stops it": lambda: last("STOPSIGNAL").text == "SIGTERM",
    "the volume is the gateway's home": lambda: last("VOLUME").text == settings()["GATEWAY_HOME"],
    "the exposed port is the gateway's": lambda: last("EXPOSE").text == settings()["GATEWAY_PORT"],
    "the list of packages is removed": lambda: all(
        run.text.endswith("rm -rf /var/lib/apt/lists/*") for run in all_of("RUN") if "apt-get" in run.text
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds(rule: str) -> None:
    assert RULES[rule]()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the build context as /src."""
    folder = tmp_path_factory.mktemp("build")
    skip = shutil.ignore_patterns("__pycache__")
    for copy in all_of("COPY"):
        for source in copy.text.split()[:-1] if not copy.flags else []:
            target = folder / "src" / source
            target.parent.mkdir(exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=skip)
            else:
                shutil.copy(ROOT / source, target)
    return folder


def _knows_packages() -> bool:
    """Whether this system has apt and its lists of packages."""
    try:
        return "Candidate" in subprocess.run(["apt-cache", "policy", "tini"], capture_output=True, text=True).stdout
    except OSError:
        return False


@pytest.mark.skipif(not _knows_packages(), reason="there is no apt with lists of packages")
def test_the_systems_packages_exist_and_go_together() -> None:
    (run,) = all_of("RUN", "base")
    update, install, clean = run.text.split(" && ")
    assert (update, clean) == ("apt-get update", "rm -rf /var/lib/apt/lists/*")
    done = subprocess.run(["/bin/sh", "-c", f"{install} --simulate"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_list_of_wheels_is_that_of_the_package_and_every_one_is_pinned(sources: Path) -> None:
    (run,) = all_of("RUN", "requirements")
    assert shell(run.text, sources).returncode == 0
    listed = (sources / "src" / "requirements.txt").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert listed == project["dependencies"] + project["optional-dependencies"]["engines"]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower().replace("_", "-") for line in constraints}
    assert not [line for line in listed if Requirement(line).name.lower() not in pins | {"pip"}]


def test_the_wheels_can_be_installed_together_and_a_cpu_build_of_torch_is_refused(sources: Path) -> None:
    shell(all_of("RUN", "requirements")[0].text, sources)
    environment, install, check = all_of("RUN", "libraries")[0].text.split(" && ")
    assert environment == "python3 -m venv /opt/gateway"
    done = shell(install.replace(" install ", " install --dry-run --quiet "), sources)
    assert done.returncode == 0, done.stderr
    done = shell(check, sources)
    is_cpu_build = importlib.metadata.version("torch").endswith("+cpu")
    assert (done.returncode, "torch is a CPU build" in done.stderr) == (int(is_cpu_build), is_cpu_build)


@pytest.mark.parametrize("engine", ["", "num2words[nothing]>=0.5.14,<0.6"])
def test_an_engine_gets_an_environment_of_its_own(engine: str, tmp_path: Path) -> None:
    (run,) = all_of("RUN", "engine")
    done = shell(run.text, tmp_path, ENGINE=engine)
    assert done.returncode == 0, done.stderr
    engines = tmp_path / "opt" / "engines"
    assert [path.name for path in engines.iterdir()] == ([engine[:9]] if engine else [])
    assert not engine or (engines / "num2words" / "bin" / "num2words").is_file()


@pytest.fixture(scope="module")
def site(sources: Path) -> Path:
    """The package as the image has it: built and installed by the file's own commands."""
    (build,) = all_of("RUN", "wheel")
    done = shell(build.text, sources)
    assert done.returncode == 0, done.stderr
    install = all_of("RUN", "final")[-1].text.replace(" install ", f" install --quiet --target {sources}/site ")
    done = shell(install, sources)
    assert done.returncode == 0, done.stderr
    return sources / "site"
