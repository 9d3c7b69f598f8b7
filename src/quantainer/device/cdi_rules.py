"""The rules of the Container Device Interface: what a specification may hold, from which version.

Engines refuse a file with an unknown field, and one whose declared version is older than a field
it uses; one bad file can hide a vendor's every device. So a specification is judged here before it
is written. Source: the SPEC.md of cncf-tags/container-device-interface, 0.3.0 to 1.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["VERSIONS", "minimum_version", "problems"]

VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
HOOK_NAMES = ("createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_SPEC = {"cdiVersion", "kind", "annotations", "devices", "containerEdits"}
_DEVICE = {"name", "annotations", "containerEdits"}
_EDITS = {"env", "deviceNodes", "mounts", "hooks", "additionalGids", "intelRdt", "netDevices"}
_MOUNT = {"hostPath", "containerPath", "options", "type"}
_HOOK = {"hookName", "path", "args", "env", "timeout"}
_NODE = {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"}
_NET_DEVICE = {"hostInterfaceName", "name"}
_RDT_1_1 = {"schemata", "enableMonitoring"}

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_VENDOR = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_CLASS = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")


def problems(spec: Any) -> list[str]:
    """Return what an engine would refuse, each with the place; an empty list means valid."""
    if not isinstance(spec, Mapping):
        return ["the file does not hold an object"]
    found = [*_unknown("the specification", spec, _SPEC), *_kind(spec.get("kind"))]
    found += _devices(spec.get("devices"))
    found += _edits("containerEdits", spec.get("containerEdits", {}))
    return found or _version(spec)


def minimum_version(spec: Mapping[str, Any]) -> str:
    """Return the lowest version that has every field the specification uses."""
    needed = {"0.3.0"}
    vendor_class = str(spec.get("kind", "")).partition("/")[2]
    devices = [device for device in spec.get("devices", ()) if isinstance(device, Mapping)]
    if "." in vendor_class or any(part.get("annotations") for part in (spec, *devices)):
        needed.add("0.6.0")
    if any(str(device.get("name", ""))[:1].isdigit() for device in devices):
        needed.add("0.5.0")
    for part in (spec, *devices):
        needed |= set(_edit_versions(part.get("containerEdits") or {}))
    return max(needed, key=VERSIONS.index)


def _edit_versions(edits: Mapping[str, Any]) -> Iterator[str]:
    if any("type" in mount for mount in edits.get("mounts") or ()):
        yield "0.4.0"
    if any("hostPath" in node for node in edits.get("deviceNodes") or ()):
        yield "0.5.0"
    if edits.get("intelRdt") or edits.get("additionalGids"):
        yield "0.7.0"
    if edits.get("netDevices") or _RDT_1_1 & set(edits.get("intelRdt") or ()):
        yield "1.1.0"


def _version(spec: Mapping[str, Any]) -> list[str]:
    declared = spec.get("cdiVersion")
    if declared not in VERSIONS:
        return [f"cdiVersion: {declared!r} is not one of {', '.join(VERSIONS)}"]
    needed = minimum_version(spec)
    if VERSIONS.index(declared) < VERSIONS.index(needed):
        return [f"cdiVersion: {declared} is too low, the fields used need {needed}"]
    return []


def _unknown(where: str, part: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for field in part:
        if field not in known:
            yield f"{where}: unknown field {field!r}"


def _kind(kind: Any) -> Iterator[str]:
    vendor, slash, device_class = str(kind).partition("/")
    if not (slash and _VENDOR.fullmatch(vendor) and _CLASS.fullmatch(device_class)):
        yield f"kind: {kind!r} is not vendor.domain/class"


def _devices(devices: Any) -> Iterator[str]:
    if not isinstance(devices, list) or not devices:
        yield "devices: at least one device is needed"
        return
    names: set[str] = set()
    for index, device in enumerate(devices):
        where = f"devices[{index}]"
        if not isinstance(device, Mapping):
            yield f"{where}: not an object"
            continue
        name = device.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{where}.name: {name!r} is not made of letters, digits, '_', '-', '.', ':'"
        elif name in names:
            yield f"{where}.name: {name!r} is there twice, so neither can be resolved"
        else:
            names.add(name)
        yield from _unknown(where, device, _DEVICE)
        if not device.get("containerEdits"):
            yield f"{where}.containerEdits: empty, so engines cannot resolve the device"
        yield from _edits(f"{where}.containerEdits", device.get("containerEdits", {}))


def _edits(where: str, edits: Any) -> Iterator[str]:
    if not isinstance(edits, Mapping):
        yield f"{where}: not an object"
        return
    yield from _unknown(where, edits, _EDITS)
    if not isinstance(edits.get("intelRdt") or {}, Mapping):
        yield f"{where}.intelRdt: not an object"
    checks = {"mounts": _mount, "hooks": _hook, "deviceNodes": _node, "netDevices": _net_device}
    for field, check in checks.items():
        for place, entry in _entries(f"{where}.{field}", edits.get(field)):
            if isinstance(entry, Mapping):
                yield from check(place, entry)
            else:
                yield f"{place}: not an object"
    for place, entry in _entries(f"{where}.additionalGids", edits.get("additionalGids")):
        if not isinstance(entry, int):
            yield f"{place}: {entry!r} is not a group number"
    yield from _environment(f"{where}.env", edits.get("env"))


def _entries(where: str, entries: Any) -> Iterator[tuple[str, Any]]:
    """Yield a list's entries with their places; what is no list counts as one wrong entry."""
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries or ()]):
        if entry != ():
            yield f"{where}[{index}]", entry


def _environment(where: str, entries: Any) -> Iterator[str]:
    for place, entry in _entries(where, entries):
        if not isinstance(entry, str) or entry.find("=") < 1:
            yield f"{place}: {entry!r} is not NAME=value"


def _mount(where: str, mount: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(where, mount, _MOUNT)
    for field in ("hostPath", "containerPath"):
        if not mount.get(field):
            yield f"{where}.{field}: missing"


def _hook(where: str, hook: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(where, hook, _HOOK)
    if hook.get("hookName") not in HOOK_NAMES:
        yield f"{where}.hookName: {hook.get('hookName')!r} is not one of {', '.join(HOOK_NAMES)}"
    if not str(hook.get("path", "")).startswith("/"):
        yield f"{where}.path: {hook.get('path')!r} is not absolute"
    timeout = hook.get("timeout", 1)
    if type(timeout) is not int or timeout <= 0:
        yield f"{where}.timeout: {timeout!r} is not a number of seconds above 0"
    yield from _environment(f"{where}.env", hook.get("env"))


def _node(where: str, node: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(where, node, _NODE)
    if not node.get("path"):
        yield f"{where}.path: missing"
    if node.get("type", "c") not in ("b", "c", "u", "p"):
        yield f"{where}.type: {node['type']!r} is not one of b, c, u, p"
    permissions = node.get("permissions", "")
    if not isinstance(permissions, str) or set(permissions) - set("rwm"):
        yield f"{where}.permissions: {permissions!r} holds more than r, w, m"


def _net_device(where: str, device: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(where, device, _NET_DEVICE)
    for field in ("hostInterfaceName", "name"):
        if not device.get(field):
            yield f"{where}.{field}: missing"
