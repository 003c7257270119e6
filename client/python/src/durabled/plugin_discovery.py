"""Which plugins an installation has: those passed to durable_execution, and those that
DURABLE_EXECUTION_PLUGINS names among the installed entry points."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from durabled.exceptions import PluginLoadError
from durabled.plugin import DurableInstrumentationPluginFactory

PLUGIN_ENTRY_POINT_GROUP = "aws_durable_execution.plugins"
PLUGIN_ENVIRONMENT_VARIABLE = "DURABLE_EXECUTION_PLUGINS"

logger = logging.getLogger(__name__)

_SHAPE = (
    "plugin factory -- an object with a create_plugin(info) method returning a "
    "DurableInstrumentationPlugin --"
)


def load_configured_plugins(
    explicit_plugins: Sequence[DurableInstrumentationPluginFactory] | None,
    *,
    environment: Mapping[str, str] | None = None,
) -> list[DurableInstrumentationPluginFactory]:
    """All factories, the explicit ones first. Raises PluginLoadError when one can't be
    used, so that telemetry is not lost in silence."""
    candidates: list[Any] = list(explicit_plugins or [])
    try:
        for index, factory in enumerate(candidates):
            if not _is_factory(factory):
                raise PluginLoadError(
                    f"Durable instrumentation plugin at plugins[{index}] must be a {_SHAPE} "
                    f"but is {_described(factory)}. Pass a factory rather than a plugin, a "
                    "plugin class, or a plain callable, and pass a factory instance rather "
                    "than the factory class, for example "
                    "plugins=[MyPluginFactory(exporter)]."
                )
        factories = list(candidates)
        for name in _configured_names(os.environ if environment is None else environment):
            factory = _load(name, candidates)
            if any(factory is known for known in factories):
                logger.warning(
                    "Skipping dynamically configured plugin '%s' because the same plugin "
                    "factory is already registered.",
                    name,
                )
            else:
                factories.append(factory)
        _check_groups([_class_of(factory) for factory in factories])
    except Exception:
        _tell_result(candidates, registered=False)
        raise
    _tell_result(factories, registered=True)
    return factories


def _configured_names(environment: Mapping[str, str]) -> list[str]:
    configured = environment.get(PLUGIN_ENVIRONMENT_VARIABLE) or ""
    if not configured.strip():
        return []
    names = [name.strip() for name in configured.split(",")]
    if not all(names):
        raise PluginLoadError(
            f"{PLUGIN_ENVIRONMENT_VARIABLE} must contain non-empty, comma-separated plugin "
            "names."
        )
    for index, name in enumerate(names):
        if name in names[:index]:
            raise PluginLoadError(
                f"{PLUGIN_ENVIRONMENT_VARIABLE} contains duplicate plugin name '{name}'."
            )
    return names


def _load(name: str, candidates: list[Any]) -> Any:
    try:
        points = list(metadata.entry_points(group=PLUGIN_ENTRY_POINT_GROUP))
    except Exception as error:
        raise PluginLoadError(
            "Failed to inspect installed durable instrumentation plugin providers in "
            f"entry-point group '{PLUGIN_ENTRY_POINT_GROUP}': {error}"
        ) from error
    matching = [point for point in points if point.name == name]
    if not matching:
        known = ", ".join(sorted({point.name for point in points})) or "none"
        raise PluginLoadError(
            f"No durable instrumentation plugin provider named '{name}' was found in "
            f"entry-point group '{PLUGIN_ENTRY_POINT_GROUP}'. Installed providers: {known}. "
            "Ensure the provider package is installed in the function artifact or an "
            "attached Lambda layer."
        )
    if len(matching) > 1:
        packages = ", ".join(_package_of(point) for point in matching)
        raise PluginLoadError(
            f"Multiple durable instrumentation plugin providers named '{name}' were found "
            f"in entry-point group '{PLUGIN_ENTRY_POINT_GROUP}': {packages}. Remove the "
            "duplicate provider package."
        )
    point = matching[0]
    try:
        factory = point.load()
    except Exception as error:
        raise PluginLoadError(
            f"Failed to load durable instrumentation plugin factory '{name}' from "
            f"'{point.value}' ({_package_of(point)}): {error}"
        ) from error
    candidates.append(factory)
    if not _is_factory(factory):
        raise PluginLoadError(
            f"Durable instrumentation plugin entry point '{name}' must resolve to a {_SHAPE} "
            f"but resolved to {_described(factory)}. Name the factory instance, not a "
            "plugin, not a plugin class, and not the factory class."
        )
    return factory


def _package_of(point: metadata.EntryPoint) -> str:
    unknown = "unknown distribution"
    package = getattr(point, "dist", None)
    return unknown if package is None else str(package.metadata.get("Name", unknown))


def _is_factory(value: Any) -> bool:
    """Whether create_plugin(info) can be called on it."""
    method = getattr(value, "create_plugin", None)
    if not callable(method):
        return False
    # Read off a class, a plain function would take the info for its self.
    if isinstance(value, type) and inspect.isfunction(method):
        declared = inspect.getattr_static(value, "create_plugin", None)
        if not isinstance(declared, staticmethod):
            return False
    try:
        inspect.signature(method).bind(object())
    except TypeError:
        return False
    except ValueError:
        pass  # it has no signature to be read
    return True


def _qualified(named: Any) -> str:
    module = getattr(named, "__module__", None) or "unknown module"
    name = getattr(named, "__qualname__", None) or getattr(named, "__name__", None)
    return f"{module}.{name or '<unnamed>'}"


def _described(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {_qualified(value)}"
    if inspect.isroutine(value):
        return f"the function {_qualified(value)}"
    return f"an instance of {_qualified(type(value))}"


# --- registration contracts: a factory class that says __durable_registration_api__ = 1 may
# name a group of which only one may be registered, and be told whether it was ----------


def _class_of(factory: Any) -> type:
    return factory if issubclass(type(factory), type) else type(factory)


def _contracts(cls: type) -> list[type]:
    """The classes above `cls`, itself included, that state such a contract."""
    found = [one for one in cls.__mro__ if "__durable_registration_api__" in vars(one)]
    return [one for one in found if vars(one)["__durable_registration_api__"] == 1]


def _groups(cls: type) -> list[str]:
    groups: list[str] = []
    for declaring in _contracts(cls):
        try:
            group = getattr(declaring, "exclusive_group", None)
        except Exception as error:
            raise PluginLoadError(
                f"Cannot read exclusive_group for {_qualified(cls)}."
            ) from error
        if group is None:
            continue
        if type(group) is not str or not group.strip():
            raise PluginLoadError(
                f"Durable instrumentation plugin {_qualified(cls)} must declare "
                "exclusive_group as None or a non-empty string."
            )
        if group not in groups:
            groups.append(group)
    return groups


def _check_groups(classes: list[type]) -> None:
    owners: dict[str, type] = {}
    for cls in classes:
        for group in _groups(cls):
            owner = owners.setdefault(group, cls)
            if len([one for one in classes if one is cls]) > 1:
                raise PluginLoadError(
                    f"Durable instrumentation plugin {_qualified(cls)} is registered more "
                    f"than once in exclusive group '{group}'. Register this plugin only "
                    "once in plugins."
                )
            if owner is not cls:
                raise PluginLoadError(
                    f"Durable instrumentation plugins {_qualified(owner)} and "
                    f"{_qualified(cls)} are mutually exclusive (group '{group}'). Keep only "
                    "one plugin from this group in plugins and DURABLE_EXECUTION_PLUGINS."
                )


def _tell_result(factories: Sequence[Any], *, registered: bool) -> None:
    for factory in {id(one): one for one in factories}.values():
        try:
            contracts = _contracts(_class_of(factory))
            callback = getattr(factory, "on_registration_result", None) if contracts else None
            if callable(callback):
                callback(registered)
        except Exception:
            logger.exception("Plugin registration-result callback failed")
