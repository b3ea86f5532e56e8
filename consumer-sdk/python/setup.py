"""Builds the C library of the segment's readers with cargo, and puts it into the wheel.

Everything else about the package is in pyproject.toml. Nothing is written beside the sources: cargo has its target
directory, and setuptools works in a temporary one.
"""

import atexit
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

LIBRARY = "libvmmload_consumer.so"
CRATE = "vmmload-consumer-c"
PREBUILT = "VMMLOAD_CONSUMER_LIBRARY"
HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parent.parent

OTHERWISE = f"or name a {LIBRARY} that is built already: {PREBUILT}=/path/to/{LIBRARY} pip install ..."


def fail(what: str, remedy: str) -> NoReturn:
    sys.exit(f"\nvmmload: {what}\n  -> {remedy},\n     {OTHERWISE}\n")


def prebuilt() -> "Path | None":
    name = os.environ.get(PREBUILT)
    if not name:
        return None
    path = Path(name)
    if not path.is_file():
        fail(f"{PREBUILT}={name} is no file", f"build it (cargo build --release -p {CRATE})")
    return path


def cargo() -> str:
    # rustup's own directory, too: a shell that was open before has it not in its PATH yet.
    usual = Path.home() / ".cargo" / "bin" / "cargo"
    found = os.environ.get("CARGO") or shutil.which("cargo") or (str(usual) if usual.exists() else None)
    if not found:
        fail("cargo is not here, which builds the C library", "install Rust 1.92 or later (https://rustup.rs)")
    return found


def built() -> Path:
    """Has cargo build the library; tells where cargo has put it."""
    if not (HERE.parent / "c" / "Cargo.toml").is_file():
        fail(
            f"the workspace that the C library is built from is not around {HERE}",
            "install from a clone of the whole repository: pip install ./consumer-sdk/python",
        )
    command = [cargo(), "build", "--release", "--package", CRATE, "--message-format=json-render-diagnostics"]
    try:
        done = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as cause:
        fail(f"{command[0]} cannot be started: {cause}", "install Rust 1.92 or later (https://rustup.rs)")
    if done.returncode != 0:
        fail(
            f"`{' '.join(command[:-1])}` failed in {WORKSPACE}: see above",
            "mend what it says (`rustup update` if Rust is older than 1.92, CARGO_TARGET_DIR=... if it may not "
            "write there)",
        )
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    products = [file for message in messages for file in message.get("filenames") or []]
    found = [Path(file) for file in products if Path(file).name == LIBRARY]
    if not found:
        fail(f"{CRATE} has been built, but without {LIBRARY}", "report this with the output of cargo")
    return found[-1]


class BuildWithLibrary(build_py):
    """Puts the library beside the modules."""

    def target(self) -> Path:
        root = HERE / "src" if self.editable_mode else Path(self.build_lib)
        return root / "vmmload" / LIBRARY

    def run(self) -> None:
        if sys.platform != "linux" or platform.machine() != "x86_64":
            sys.exit("vmmload: this package is for Linux on x86-64, as vmmload itself")
        super().run()
        target = self.target()
        target.parent.mkdir(parents=True, exist_ok=True)
        # Not over a library that a running program has mapped.
        target.unlink(missing_ok=True)
        shutil.copyfile(prebuilt() or built(), target)

    def get_outputs(self, include_bytecode: bool = True) -> "list[str]":
        return [*super().get_outputs(include_bytecode), str(self.target())]


class WheelOfThisPlatform(bdist_wheel):
    """The library is of one platform, but of no particular Python."""

    def get_tag(self) -> "tuple[str, str, str]":
        return "py3", "none", "linux_x86_64"


class WithLibrary(Distribution):
    """What makes setuptools lay it out as a package of one platform."""

    def has_ext_modules(self) -> bool:
        return True


scratch = tempfile.mkdtemp(prefix="vmmload-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(
    distclass=WithLibrary,
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelOfThisPlatform},
    options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
)
