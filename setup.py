"""Packages of clawgate, the twistd plugin among them, and a fresh plugin cache after installation.

Everything else about the project is in pyproject.toml. `twisted/plugins` must not become a package with an `__init__.py`: it is found through Twisted's
own package path (reference/codebases.md, trap T7).
"""

from setuptools import find_packages, setup
from setuptools.command.install import install


class InstallAndRefresh(install):
    """Installs, then lets Twisted rewrite its plugin cache, which later users may have no right to write."""

    def run(self) -> None:
        """As setuptools does, then the cache."""
        super().run()
        try:
            from twisted.plugin import IPlugin, getPlugins

            list(getPlugins(IPlugin))
        except Exception as problem:
            self.announce(f"could not refresh Twisted's plugin cache: {problem}", level=3)


setup(
    packages=[*find_packages(include=["clawgate", "clawgate.*"]), "twisted.plugins"],
    package_data={"clawgate": ["py.typed", "**/*.sql", "**/*.html", "**/*.js"]},
    cmdclass={"install": InstallAndRefresh},
)
