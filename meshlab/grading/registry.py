"""Checks by name: how a course's ``checks/`` folder is loaded, and what a check receives."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlab.errors import CourseError
from meshlab.grading.evidence import Evidence
from meshlab.grading.verdicts import NeedMore, Verdict

if TYPE_CHECKING:
    from meshlab.cluster.facade import Cluster
    from meshlab.course.model import Exercise

Params = Mapping[str, Any]

_PRIVATE_MODULE = "_meshlab_checks"


Lacking = Callable[[Iterable[str]], tuple[str, ...]]
"""Those of some capabilities that the cluster is known not to have."""


def lacks_nothing(capabilities: Iterable[str]) -> tuple[str, ...]:
    """The answer for a cluster of which nothing is known to be missing."""
    return ()


class Overtaken(Exception):
    """What a look judges has changed since it began; it ends here, and another begins."""


@dataclass(slots=True)
class CheckContext:
    """What ``collect`` may use: the cluster, the exercise as drawn, and how much more evidence is wanted."""

    cluster: Cluster
    exercise: Exercise
    requests_wanted: int = 0
    """How many more requests the judge asked for; 0 on the first collection."""
    lacking: Lacking = lacks_nothing
    overtaken: Callable[[], bool] = lambda: False
    """Whether what is judged has changed since the look began."""

    def namespace(self, role: str | None = None) -> str:
        """The namespace of a role, or of the exercise's first role."""
        return self.exercise.namespaces[role] if role else self.exercise.main_namespace

    def stop_if_overtaken(self) -> None:
        """To be called now and then by whatever takes long, such as between batches of requests.

        Raises:
            Overtaken: going on is of no use, since another look will follow.
        """
        if self.overtaken():
            raise Overtaken


Collect = Callable[[CheckContext, Params, Evidence | None], Evidence]
Judge = Callable[[Evidence, Params], Verdict | NeedMore]


@dataclass(frozen=True, slots=True)
class Check:
    """One registered check.

    Attributes:
        name: ``family.what``, as exercises call it.
        version: rises when judging changes.
        collect: reads the cluster; receives the evidence so far and returns it with more added.
        judge: pure.
        required: parameters that a call must give.
        optional: parameters that a call may give.
        capabilities: what the provider must be able to do, else the verdict is ERROR "not available here".
        watches: the kinds of object that a learner may change and that decide, as ``plural.group``: a change of one of
            them is the moment to look again.
    """

    name: str
    version: int
    collect: Collect
    judge: Judge
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    watches: frozenset[str] = frozenset()


@dataclass(slots=True)
class Registry:
    """The checks of one course."""

    checks: dict[str, Check] = field(default_factory=dict)

    def get(self, name: str) -> Check:
        """The check of that name.

        Raises:
            CourseError: the course has none.
        """
        if name not in self.checks:
            known = ", ".join(sorted(self.checks)) or "none"
            raise CourseError(f"no check is called {name}", hint=f"the course has: {known}")
        return self.checks[name]


_loading: Registry | None = None
_one_at_a_time = threading.Lock()


def check(
    name: str,
    *,
    version: int = 1,
    judge: Judge,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    capabilities: tuple[str, ...] = (),
    watches: tuple[str, ...] = (),
) -> Callable[[Collect], Collect]:
    """Register a check; decorates its ``collect`` function.

    Raises:
        CourseError: two checks have the same name.
    """

    def register(collect: Collect) -> Collect:
        if _loading is not None:
            if name in _loading.checks:
                raise CourseError(f"two checks are called {name}")
            _loading.checks[name] = Check(
                name,
                version,
                collect,
                judge,
                frozenset(required),
                frozenset(optional),
                frozenset(capabilities),
                frozenset(watches),
            )
        return collect

    return register


def load_checks(directory: Path) -> Registry:
    """Load every module of a course's ``checks/`` folder, by path, as submodules of a private package.

    The folder is trusted code: it runs with the rights of whoever runs meshlab.

    Raises:
        CourseError: a module cannot be imported.
    """
    with _one_at_a_time:
        return _load(directory)


def _load(directory: Path) -> Registry:
    global _loading  # noqa: PLW0603 - decorators have no other way to learn which course is being loaded
    registry = Registry()
    for loaded in [name for name in sys.modules if name == _PRIVATE_MODULE or name.startswith(f"{_PRIVATE_MODULE}.")]:
        del sys.modules[loaded]
    _loading = registry
    try:
        _import(_PRIVATE_MODULE, directory / "__init__.py", package_dir=directory)
        for path in sorted(directory.glob("*.py")):
            if path.name != "__init__.py":
                name = f"{_PRIVATE_MODULE}.{path.stem}"
                if name not in sys.modules:
                    _import(name, path)
    finally:
        _loading = None
    return registry


def _import(name: str, path: Path, package_dir: Path | None = None) -> None:
    locations = [str(package_dir)] if package_dir else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None or not path.is_file():
        raise CourseError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except CourseError:
        raise
    except Exception as error:
        del sys.modules[name]
        raise CourseError(f"{path}: {type(error).__name__}: {error}") from error
