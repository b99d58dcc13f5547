"""Each setting from the command line, ``--conf`` and the environment: the same value, and the same care."""

from __future__ import annotations

import os
import subprocess
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.errors import InvalidConfig
from medvlsam2.settings.command_line import add_options, from_arguments
from medvlsam2.settings.reading import OTHER_VARIABLES, from_environment, read, read_for_app, variables
from medvlsam2.settings.record import ServerSettings, Setting, all_settings

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = list(all_settings().values())
OTHER = {
    "studies": "/scans",
    "host": "0.0.0.0",
    "port": "9000",
    "allowed_host": "ct,ct.example.org",
    "logs": "/logs",
    "model": "large",
    "models": "/models",
    "device": "cuda:1",
    "cache_gb": "1.5",
    "tta": "axes",
    "cuda_graphs": "off",
    "candidates": "2",
    "report_tokens": "64",
    "scan_mib": "512",
    "pacs_cache_gib": "7",
}
"""For each setting a value that is not its default."""
WAYS = {
    "option": lambda setting, text: started([setting.option, text]),
    "conf": lambda setting, text: started(["--conf", setting.name, text]),
    "environment": lambda setting, text: started([], {setting.variable: text}),
}
Way = Callable[[Setting, str], ServerSettings]


def started(argv: list[str], environment: Mapping[str, str] | None = None) -> ServerSettings:
    parser = ArgumentParser()
    add_options(parser)
    studies = {} if "--studies" in argv or "studies" in argv else {"MEDVLSAM2_STUDIES": "/default"}
    return from_arguments(parser.parse_args(argv), {**studies, **(environment or {})})


def test_every_setting_has_a_trial_value() -> None:
    assert OTHER.keys() == all_settings().keys(), "add a value for the new setting"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_three_sources_give_the_same_value(setting: Setting) -> None:
    text = OTHER[setting.name]
    found = [getattr(way(setting, text), setting.name) for way in WAYS.values()]
    assert found == [found[0]] * 3
    assert found[0] != setting.default
    assert type(found[0]) is setting.kind


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_an_option_overrules_conf_and_conf_the_environment(setting: Setting) -> None:
    first, second = OTHER[setting.name], {"device": "cpu", "cuda_graphs": "on", "tta": "none"}.get(setting.name, "3")
    environment = {setting.variable: first}
    expected = getattr(WAYS["option"](setting, second), setting.name)
    conf = ["--conf", setting.name, second]
    assert getattr(started(conf, environment), setting.name) == expected
    conf = ["--conf", setting.name, first]
    assert getattr(started([*conf, setting.option, second], environment), setting.name) == expected
    assert getattr(started([setting.option, second, *conf]), setting.name) == expected, "whatever the order"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("tta", "axis", "allowed: none or axes. Did you mean axes?"),
        ("cuda_graphs", "no", "allowed: on or off. Did you mean off?"),
        ("cuda_graphs", "true", "allowed: on or off. Did you mean on?"),
        ("candidates", "few", "allowed: whole number from 1 upwards"),
        ("candidates", "2.0", "allowed: whole number from 1 upwards"),
        ("candidates", "0", "allowed: whole number from 1 upwards"),
        ("port", "70000", "allowed: whole number from 1 to 65535"),
        ("port", "", "allowed: whole number from 1 to 65535"),
        ("cache_gb", "-1", "allowed: number of GB from 0 upwards"),
        ("cache_gb", "nan", "allowed: number of GB from 0 upwards"),
        ("cache_gb", "inf", "allowed: number of GB from 0 upwards"),
        ("scan_mib", "²", "allowed: whole number of MiB from 1 upwards"),
        ("device", "tpu", "allowed: auto, cpu, cuda or cuda:N"),
        ("model", " ", "allowed: auto, name of a folder"),
    ],
)
def test_a_wrong_value_is_refused_as_it_was_written(way: str, name: str, text: str, allowed: str) -> None:
    setting = all_settings()[name]
    written = {"option": setting.option, "conf": f"--conf {name}", "environment": setting.variable}[way]
    with pytest.raises(InvalidConfig) as refused:
        WAYS[way](setting, text)
    assert f"{written} is '{text}'; {allowed}" in str(refused.value)
    assert f"or leave {written} out" in str(refused.value)


def test_a_wrong_value_is_refused_also_where_it_is_overruled() -> None:
    with pytest.raises(InvalidConfig, match="MEDVLSAM2_PORT is 'many'"):
        started(["--port", "8000"], {"MEDVLSAM2_PORT": "many"})


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidConfig, match=r"Unknown --conf key 'devise'\. Did you mean device\?.*serve --help"):
        read(conf={"devise": "cpu"})
    with pytest.raises(InvalidConfig, match=r"MEDVLSAM2_CUDA_GRAF is no .* Did you mean MEDVLSAM2_CUDA_GRAPHS\?"):
        read(environment={"MEDVLSAM2_CUDA_GRAF": "on"})


@given(st.data())
def test_a_misspelt_name_is_refused_and_named(data: st.DataObject) -> None:
    setting = data.draw(st.sampled_from(SETTINGS))
    place = data.draw(st.integers(0, len(setting.name) - 1))
    wrong = setting.name[:place] + data.draw(st.sampled_from("qxz")) + setting.name[place + 1 :]
    with pytest.raises(InvalidConfig, match=f"'{wrong}'.*{setting.name}"):
        read(conf={wrong: OTHER[setting.name]})
    variable = f"MEDVLSAM2_{wrong.upper()}"
    with pytest.raises(InvalidConfig, match=f"{variable} is no setting.*unset it"):
        read(environment={variable: OTHER[setting.name]})


def test_other_environment_variables_are_ignored() -> None:
    environment = {**dict.fromkeys(OTHER_VARIABLES, "1"), "PATH": "/bin", "MONAI_LABEL_SESSIONS": "true"}
    assert read(environment=environment) == ServerSettings()


@given(st.sets(st.sampled_from(sorted(OTHER))))
def test_settings_survive_the_environment(names: set[str]) -> None:
    settings = read(conf={name: OTHER[name] for name in names})
    told = variables(settings)
    assert asdict(read(environment=told if names >= {"studies"} else without(told, "MEDVLSAM2_STUDIES"))) == asdict(
        settings
    )


def without(environment: dict[str, str], name: str) -> dict[str, Any]:
    return {key: text for key, text in environment.items() if key != name}


def test_missing_studies_are_refused_with_the_remedy() -> None:
    parser = ArgumentParser()
    add_options(parser)
    with pytest.raises(InvalidConfig, match=r"No studies given.*--studies.*MEDVLSAM2_STUDIES"):
        from_arguments(parser.parse_args([]), {})


@pytest.mark.parametrize("name", ["studies", "host", "port", "allowed_host", "logs"])
def test_the_app_inside_the_host_refuses_what_is_decided_by_then(name: str) -> None:
    with pytest.raises(InvalidConfig, match=f"--conf {name} has no effect here.*medvlsam2 serve"):
        read_for_app({name: OTHER[name]}, {})
    told = read_for_app({}, {f"MEDVLSAM2_{name.upper()}": OTHER[name]})
    assert getattr(told, name) != getattr(ServerSettings(), name), "as serve.py hands it on"


def test_one_setting_where_there_is_no_server() -> None:
    assert from_environment("pacs_cache_gib", {}) == 50
    assert from_environment("pacs_cache_gib", {"MEDVLSAM2_PACS_CACHE_GIB": " 7 "}) == 7
    with pytest.raises(InvalidConfig, match=r"MEDVLSAM2_PACS_CACHE_GIB is '1\.5'; allowed: whole number of GiB from 1"):
        from_environment("pacs_cache_gib", {"MEDVLSAM2_PACS_CACHE_GIB": "1.5"})


@pytest.mark.parametrize(("text", "cache_bytes"), [(None, None), ("0", 0), ("1.5", 15 * 10**8)])
def test_the_memory_of_slice_features_in_bytes(text: str | None, cache_bytes: int | None) -> None:
    assert read(conf={} if text is None else {"cache_gb": text}).cache_bytes == cache_bytes


def made(*variables: str, **environment: str) -> str:
    """The command that ``make serve`` would run."""
    done = subprocess.run(
        ["make", "-n", "serve", *variables],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    lines = done.stdout.replace("\\\n", " ").splitlines()
    return " ".join(next(line for line in lines if "medvlsam2 serve" in line).split())


def test_make_serve_passes_settings_on() -> None:
    assert made().endswith('medvlsam2 serve --studies "demo/studies"'), "and leaves the rest to the environment"
    words = made("STUDIES=scans", "PORT=9000", "HOST=0.0.0.0", "MODEL=large", "ARGS=--cuda-graphs on")
    assert words.endswith('--studies "scans" --host "0.0.0.0" --port "9000" --model "large" --cuda-graphs on')
    assert '--studies "/mine"' in made(MEDVLSAM2_STUDIES="/mine")
