# SPDX-License-Identifier: Apache-2.0
"""Builds `lambdaarch._core` from csrc/core and csrc/python.

Switches, by environment: LAMBDAARCH_SANITIZE=address,undefined (or thread),
LAMBDAARCH_COVERAGE=1, LAMBDAARCH_DEBUG=1. Everything else stands in pyproject.toml.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBRARIES = {
    "libzstd": "libzstd-dev",
    "libxxhash": "libxxhash-dev",
    "libcrypto": "libssl-dev",
}
PACKAGES = ["build-essential", "pkg-config", "python3-dev", *LIBRARIES.values()]
FLAGS = [
    "-std=c11",
    "-O3",
    "-g1",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-pthread",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
]


def stop(what: str) -> None:
    """Says what is missing and how to get it."""
    message = f"""
lambdaarch cannot be built: {what}.

On Debian or Ubuntu, install what it needs with

    sudo apt-get install -y --no-install-recommends {" ".join(PACKAGES)}

and try again.
"""
    raise SystemExit(message)


def pkg_config(option: str) -> list[str]:
    command = ["pkg-config", option, *LIBRARIES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        stop("the program pkg-config is missing")
        raise
    if done.returncode != 0:
        missing = [name for name in LIBRARIES if name in done.stderr]
        packages = ", ".join(LIBRARIES[name] for name in missing) or done.stderr.strip()
        stop(f"libraries or their headers are missing ({packages})")
    return shlex.split(done.stdout)


def switches() -> tuple[list[str], list[str]]:
    """Compiler and linker flags of the environment's switches."""
    compile_args: list[str] = []
    link_args: list[str] = []
    sanitize = os.environ.get("LAMBDAARCH_SANITIZE", "")
    if sanitize not in ("", "0"):
        flag = f"-fsanitize={sanitize}"
        compile_args += [flag, "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
        link_args += [flag]
    if os.environ.get("LAMBDAARCH_COVERAGE", "") not in ("", "0"):
        compile_args += ["--coverage", "-O0"]
        link_args += ["--coverage"]
    if os.environ.get("LAMBDAARCH_DEBUG", "") not in ("", "0"):
        compile_args += ["-O1", "-g3", "-UNDEBUG"]
    return compile_args, link_args


def core_extension() -> Extension:
    import numpy as np

    compile_args, link_args = switches()
    cflags = pkg_config("--cflags")
    sources = sorted(
        str(path.relative_to(ROOT))
        for pattern in ("csrc/core/*/*.c", "csrc/python/*.c")
        for path in ROOT.glob(pattern)
    )
    headers = sorted(
        str(path.relative_to(ROOT))
        for pattern in ("csrc/include/*.h", "csrc/core/*/*.h", "csrc/python/*.h")
        for path in ROOT.glob(pattern)
    )
    return Extension(
        "lambdaarch._core",
        sources=sources,
        depends=headers,
        include_dirs=["csrc/include", "csrc/core", "csrc/python", np.get_include()],
        extra_compile_args=[*FLAGS, *cflags, *compile_args],
        extra_link_args=["-pthread", *pkg_config("--libs"), "-lm", *link_args],
    )


class ParallelBuild(build_ext):
    """Compiles the files of the extension side by side, and only those that changed."""

    def build_extension(self, ext: Extension) -> None:
        compiler: Any = self.compiler
        compile_one = compiler._compile
        changed = self.newest(ext.depends)

        def compile_if_needed(obj: str, src: str, *args: Any) -> None:
            target = Path(obj)
            needed = max(Path(src).stat().st_mtime, changed)
            if not self.force and target.exists() and target.stat().st_mtime > needed:
                return
            compile_one(obj, src, *args)

        def compile_all(  # the signature of distutils' CCompiler.compile
            sources: list[str],
            output_dir: str | None = None,
            macros: Any = None,
            include_dirs: Any = None,
            debug: bool = False,
            extra_preargs: Any = None,
            extra_postargs: Any = None,
            depends: Any = None,
        ) -> list[str]:
            macros, objects, extra, pp_opts, build = compiler._setup_compile(
                output_dir, macros, include_dirs, sources, depends, extra_postargs
            )
            arguments = compiler._get_cc_args(pp_opts, debug, extra_preargs)
            with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
                list(
                    pool.map(
                        lambda obj: compile_if_needed(
                            obj, *build[obj], arguments, extra, pp_opts
                        ),
                        [obj for obj in objects if obj in build],
                    )
                )
            return list(objects)

        compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            compiler.compile = type(compiler).compile.__get__(compiler)

    @staticmethod
    def newest(paths: list[str]) -> float:
        return max((Path(path).stat().st_mtime for path in paths), default=0.0)


def version() -> str:
    text = (ROOT / "csrc/core/base/version.c").read_text(encoding="utf-8")
    found = re.search(r'"(\d+\.\d+\.\d+[^"]*)"', text)
    if found is None:
        raise SystemExit("csrc/core/base/version.c names no version")
    return found.group(1)


if sys.platform != "linux":
    raise SystemExit("lambdaarch runs on Linux only")

setup(
    version=version(),
    ext_modules=[core_extension()],
    cmdclass={"build_ext": ParallelBuild},
)
