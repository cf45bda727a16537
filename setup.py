"""Build the parts as one package, `demitasse`, with the C runtime beside its ctypes binding.

What can be said in pyproject.toml is said there; this file maps the top-level folders to import
names and links the runtime as a plain shared library (no Python.h, one wheel for every Python).
DEMITASSE_NO_HOST_LIBRARY=1 leaves the library out, for the Makefile builds it piece by piece.
"""

import os
import shlex
import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

PARTS = {
    "demitasse.converter": "converter",
    "demitasse.protos": "protos",
    "demitasse.quantizer": "quantizer",
    "demitasse.runtime": "runtime_c/python",
    "demitasse.tools": "tools",
}
SOURCES = sorted(
    str(path)
    for pattern in ("src/*.c", "kernels/*/*.c")
    for path in Path("runtime_c").glob(pattern)
)
HEADERS = sorted(str(path) for path in Path("runtime_c").rglob("*.h"))


class BuildHost(build_ext):
    """Link a plain shared library with a fixed name; without any compiler, say so and go on."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + sysconfig.get_config_var("SHLIB_SUFFIX")

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        compiler = shlex.split(os.environ.get("CC") or "cc")
        if shutil.which(compiler[0]) is None:
            ext.optional = True  # nothing to copy or install either
            self.warn(
                f"no C compiler ({compiler[0]}): the host library of the C runtime is left out and "
                "models cannot be run; install gcc and libc6-dev, then install demitasse again"
            )
            return
        # Our own flags alone: those that Python was built with differ from one Python to the next.
        self.compiler.set_executables(
            compiler_so=[*compiler, "-fPIC"], linker_so=[*compiler, "-shared"]
        )
        compile_one = self.compiler.compile

        def compile_all(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: compile_one([source], **options), sources)
                return [name for names in objects for name in names]

        self.compiler.compile = compile_all
        super().build_extension(ext)


class AnyPython(bdist_wheel):
    """The library does not depend on Python: tag the wheel for the platform alone."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


host_library = Extension(
    "demitasse.runtime.libdemitasse_host",
    sources=SOURCES,
    depends=[*HEADERS, "runtime_c/cflags.txt"],
    include_dirs=["runtime_c/include", "runtime_c/src"],
    extra_compile_args=[*Path("runtime_c/cflags.txt").read_text().split(), "-pthread"],
    extra_link_args=["-pthread", "-lm"],
)
packages = {
    "demitasse": "demitasse",
    "demitasse.runtime_c": "runtime_c",
    **PARTS,
    **{
        f"{name}.{sub}": f"{folder}/{sub.replace('.', '/')}"
        for name, folder in PARTS.items()
        for sub in find_packages(folder)
    },
}

setup(
    packages=list(packages),
    package_dir=packages,
    package_data={
        "demitasse": ["py.typed"],
        "demitasse.protos": ["*.proto", "*.desc", "*.pyi", "dialects/*.txt"],
        "demitasse.runtime_c": [
            "*.md",
            "*.txt",
            *(f"{folder}/**/*.[ch]" for folder in ("include", "src", "kernels", "programs")),
            "bare/**/*",
            "cmake/*.in",
            "packed/*",
            "toolchains/*.cmake",
        ],
    },
    include_package_data=False,
    ext_modules=(
        [] if not SOURCES or os.environ.get("DEMITASSE_NO_HOST_LIBRARY") else [host_library]
    ),
    cmdclass={"build_ext": BuildHost, "bdist_wheel": AnyPython},
)
