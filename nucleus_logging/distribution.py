"""Which installed distribution the running program belongs to.

A program is started from a console script, by `python -m`, or from a file;
the first two can be traced to the metadata that pip left behind. Reads that
metadata and owns nothing. `options` asks for the default of `app_version`.
"""

from __future__ import annotations

import os
import sys

__all__ = ["version_of_main"]

#: Where installers put scripts.
_SCRIPTS = ("bin", "Scripts")


def version_of_main() -> str | None:
    """Return the version of the distribution that holds `__main__`, None when none does."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return _version_of_package(spec.name.partition(".")[0])
    file = getattr(main, "__file__", None)
    return _version_of_script(file) if file else None


def _version_of_package(package: str) -> str | None:
    """Find the distribution that a package started by `python -m` came with."""
    from importlib import metadata

    try:
        # Most are called as their package; asking for that reads one file, not all of them.
        distribution = metadata.distribution(package)
        if package in (distribution.read_text("top_level.txt") or package).split():
            return distribution.version
    except metadata.PackageNotFoundError:
        pass
    names = metadata.packages_distributions().get(package)
    return metadata.version(names[0]) if names else None


def _version_of_script(file: str) -> str | None:
    """Find the distribution that installed a console script.

    The name alone proves nothing, any file may be called like somebody's
    script: the distribution's own list of files has to have it.
    """
    path = os.path.realpath(file)
    directory, name = os.path.split(path)
    if name.endswith(".py") and os.path.basename(directory) not in _SCRIPTS:
        return None  # most programs: looking at all metadata takes 2 MB, and some milliseconds
    from importlib import metadata

    for entry in metadata.entry_points(group="console_scripts", name=name):
        distribution = entry.dist
        if distribution is None:
            continue
        for installed in distribution.files or ():
            if (
                installed.name == name
                and os.path.realpath(str(distribution.locate_file(installed))) == path
            ):
                return distribution.version
    return None
