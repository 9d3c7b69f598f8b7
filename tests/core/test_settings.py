"""Every setting: where it comes from, and what a wrong one says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.core.settings import Settings, parse_size, platform_defaults, resolve
from quantainer_client.errors import QuantainerError

DEFAULTS = {"runtime_dir": "/run/q", "state_dir": "/var/q"}


def test_flag_goes_over_environment_over_file_over_default() -> None:
    file = {"shots_max": 10, "workers": 10, "threads": 10}
    environ = {"QUANTAINER_WORKERS": "20", "QUANTAINER_THREADS": "20"}
    resolved = resolve(file, environ, {"threads": 30, "durability": None}, DEFAULTS)
    values, sources = resolved.values, resolved.sources
    assert (values.shots_max, sources["shots_max"]) == (10, "configuration file")
    assert (values.workers, sources["workers"]) == (20, "environment QUANTAINER_WORKERS")
    assert (values.threads, sources["threads"]) == (30, "flag")
    assert (values.durability, sources["durability"]) == ("normal", "default")
    assert resolved.to_dict()["threads"] == {"value": 30, "source": "flag"}


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("shot_max", "shots_max"), ("worker", "workers"), ("memorylimit", "memory_limit")],
)
def test_unknown_key_names_the_key_and_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        resolve({key: 1}, {}, {}, DEFAULTS, file_name="/etc/q.toml")
    assert caught.value.code == "invalid_option"
    assert repr(key) in caught.value.message
    assert "/etc/q.toml" in caught.value.message
    assert nearest in (caught.value.hint or "")


def test_misspelt_variable_is_refused_and_other_variables_are_left_alone() -> None:
    with pytest.raises(QuantainerError, match="QUANTAINER_SHOT_MAX"):
        resolve({}, {"QUANTAINER_SHOT_MAX": "1"}, {}, DEFAULTS)
    resolve({}, {"QUANTAINER_DEBUG": "1", "QUANTAINER_SOCKET": "/x"}, {}, DEFAULTS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 0),
        ("workers", "many"),
        ("memory_limit", "4 elephants"),
        ("memory_limit", -1),
        ("durability", "fuller"),
        ("job_timeout", 0),
        ("job_timeout", float("inf")),
        ("log_level", "loud"),
        ("runtime_dir", "run"),
        ("state_dir", "~/state"),
        ("cdi_dir", ""),
    ],
)
def test_wrong_value_names_the_setting(key: str, value: object) -> None:
    with pytest.raises(QuantainerError) as caught:
        resolve({key: value}, {}, {}, DEFAULTS)
    assert caught.value.code == "invalid_option"
    assert repr(key) in caught.value.message
    assert "Value error" not in caught.value.message
    assert caught.value.message.count(repr(value)) <= 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("1.5 GiB", 3 << 29),
        ("2M", 2 << 20),
        ("1TB", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=12))
def test_size_is_a_number_or_a_value_error(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert size >= 0


def test_weights_come_as_a_table_or_as_json() -> None:
    given = {"uid:1000": 4, "team": 0.5}
    assert resolve({"weights": given}, {}, {}, DEFAULTS).values.weights == given
    environ = {"QUANTAINER_WEIGHTS": '{"uid:1000": 4, "team": 0.5}'}
    assert resolve({}, environ, {}, DEFAULTS).values.weights == given
    for wrong in ({"team": 0}, {"team": float("inf")}, "no JSON"):
        with pytest.raises(QuantainerError) as caught:
            resolve({"weights": wrong}, {}, {}, DEFAULTS)
        assert "'weights'" in caught.value.message


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_root_uses_the_system_and_others_their_own_places() -> None:
    assert platform_defaults(0, {})["runtime_dir"] == "/run/quantainer"
    own = platform_defaults(7, {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/x"})
    assert own["runtime_dir"] == "/run/user/7/quantainer"
    assert own["state_dir"] == "/home/x/.local/state/quantainer"
    assert platform_defaults(7, {"HOME": "/h"})["runtime_dir"] == "/tmp/quantainer-7"
