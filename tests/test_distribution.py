"""The default of app_version: what is installed says which program this is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

REPORT = "from nucleus_logging.options import default_app_version\nprint(default_app_version())\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with an installed distribution, called otherwise than its package."""
    site = tmp_path / "site"
    package = site / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(REPORT)
    (site / "bin").mkdir()
    (site / "bin" / "shop").write_text(REPORT)
    info = site / "web_shop-4.5.6.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: web-shop\nVersion: 4.5.6\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nshop = shop:main\n")
    (info / "top_level.txt").write_text("shop\n")
    (info / "RECORD").write_text("shop/__init__.py,,\nshop/__main__.py,,\nbin/shop,,\n")
    return site


def _run(site: Path, *arguments: str, cwd: Path | None = None) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


class TestDefaultAppVersion:
    def test_module(self, site: Path) -> None:
        """A package run by `python -m` has the version of the distribution it came with."""
        assert _run(site, "-m", "shop") == "4.5.6"

    def test_module_called_like_its_distribution(self, site: Path) -> None:
        """Likewise when both have the same name."""
        (site / "web_shop-4.5.6.dist-info").rename(site / "shop-4.5.6.dist-info")
        metadata = site / "shop-4.5.6.dist-info" / "METADATA"
        metadata.write_text("Metadata-Version: 2.1\nName: shop\nVersion: 7.8.9\n")
        assert _run(site, "-m", "shop") == "7.8.9"

    def test_namesake(self, site: Path) -> None:
        """A distribution that is only called like the package is not it."""
        info = site / "shop-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
        (info / "top_level.txt").write_text("other\n")
        assert _run(site, "-m", "shop") == "4.5.6"

    def test_console_script(self, site: Path) -> None:
        """A console script has the version of the distribution that installed it."""
        assert _run(site, str(site / "bin" / "shop")) == "4.5.6"

    def test_script_of_the_same_name(self, site: Path, tmp_path: Path) -> None:
        """A file of one's own that is called like one has not."""
        (tmp_path / "shop").write_text(REPORT)
        assert _run(site, str(tmp_path / "shop")) == "0.0.0"

    def test_not_installed(self, site: Path, tmp_path: Path) -> None:
        """A script, a package in a checkout, and code given by option have none."""
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "__main__.py").write_text(REPORT)
        assert _run(site, "-m", "mine", cwd=tmp_path) == "0.0.0"
        assert _run(site, str(tmp_path / "mine" / "__main__.py")) == "0.0.0"
        assert _run(site, "-c", REPORT) == "0.0.0"

    def test_program_in_a_file(self, site: Path, tmp_path: Path) -> None:
        """A file that no installer has put there has none, and no metadata are read for it."""
        program = tmp_path / "app.py"
        program.write_text(REPORT + "import sys\nprint('importlib.metadata' in sys.modules)\n")
        assert _run(site, str(program)) == "0.0.0\nFalse"

    def test_script_with_a_suffix(self, site: Path) -> None:
        """A console script may be called like a file of Python."""
        info = site / "web_shop-4.5.6.dist-info"
        (info / "entry_points.txt").write_text("[console_scripts]\nshop.py = shop:main\n")
        (info / "RECORD").write_text("bin/shop.py,,\n")
        (site / "bin" / "shop.py").write_text(REPORT)
        assert _run(site, str(site / "bin" / "shop.py")) == "4.5.6"

    def test_broken_metadata(self, site: Path) -> None:
        """Metadata that cannot be read is as good as none."""
        (site / "web_shop-4.5.6.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
        assert _run(site, "-m", "shop") == "0.0.0"
