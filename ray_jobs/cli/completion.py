"""Shell completion: the names of configurations, settings, known values and data sets, and the scripts for the shells.

typer completes commands and options. Its own scripts split words at `=` (bash), add a space after `key=` (bash, zsh)
and call the command twice (fish); ours replace them. All three use typer's protocol for fish, one completion per line.
"""

import contextlib
import glob
import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import typer

from ddb.data import BENCHMARKS
from ddb.experiment.config import OVERRIDABLE, methods
from ddb.experiment.config_file import COMMON, locate, names, over_base, read_file, resolve
from ddb.recipes import METHODS
from ddb.settings import Settings
from ddb.training.loop import TrainingSettings

CALL = "%(autocomplete_var)s=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS"
BASH = rf"""
%(complete_func)s() {{
    local typed="${{COMP_LINE:0:COMP_POINT}}"
    local word="${{typed##*[[:space:]]}}"
    mapfile -t COMPREPLY < <(env {CALL}="$typed" "$1" 2>/dev/null | cut -f1 | grep .)
    COMPREPLY=("${{COMPREPLY[@]#"${{word%%"$2"}}"}}")  # bash replaces only what follows the last = or :
    [[ "$COMPREPLY" != *[=./] ]] || compopt -o nospace
    [[ ! -f "$COMPREPLY" ]] || compopt -o filenames  # quotes spaces
}}

complete -o default -F %(complete_func)s %(prog_name)s
"""
ZSH = rf"""
#compdef %(prog_name)s

%(complete_func)s() {{
    local typed="${{(pj: :)words[1,CURRENT-1]}} $PREFIX"
    local -a found=("${{(f)$(env {CALL}="$typed" %(prog_name)s 2>/dev/null)}}")
    [[ -n "$found" ]] || {{ _files; return; }}
    local -a plain=("${{(@)found:#*$'\t'*}}") described=("${{(@M)found:#*$'\t'*}}")
    described=("${{(@)${{(@)described//:/\\:}}/$'\t'/:}}")
    compset -P '--*='
    compadd -S '' -- "${{(@M)plain:#*[=./]}}"
    compadd -- "${{(@)plain:#*[=./]}}"
    _describe '' described
}}

compdef %(complete_func)s %(prog_name)s
[[ "$zsh_eval_context[-1]" != loadautofunc ]] || %(complete_func)s  # the first TAB loads this file
"""
FISH = rf"""
function %(complete_func)s
    set -l found (env {CALL}=(commandline -cp | string collect) %(prog_name)s 2>/dev/null)
    test -n "$found"; and printf '%%s\n' $found; or __fish_complete_path (commandline -ct)
end

complete --command %(prog_name)s --no-files --arguments "(%(complete_func)s)"
"""


with contextlib.suppress(ImportError):  # the name is private to typer; without it, typer's own scripts stay
    from typer._completion_shared import _completion_scripts

    _completion_scripts.update(bash=BASH, zsh=ZSH, fish=FISH)


def complete_config(incomplete: str) -> list[str]:
    """Bundled configurations, YAML files and folders, up to the next slash."""
    files = [f"{path}/" if os.path.isdir(path) else path for path in sorted(glob.glob(f"{glob.escape(incomplete)}*"))]
    return _up_to([*names(), *(path for path in files if path.endswith(("/", ".yaml", ".yml")))], incomplete, "/")


def complete_override(context: typer.Context, incomplete: str) -> list[str]:
    """Settings of the configuration that the command line names, up to the next dot, or the known values of one."""
    typed = _typed(context)
    config = typed[0] if typed and "=" not in typed[0] and not os.path.isdir(typed[0]) else None
    return _overrides(_experiment_settings(config, [word for word in typed if "=" in word]), incomplete)


def complete_config_or_override(context: typer.Context, incomplete: str) -> list[str]:
    """The first argument is a configuration or a folder, unless --data names one."""
    first = not _typed(context) and context.params.get("data") is None
    return complete_config(incomplete) if first else complete_override(context, incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """The names of data sets."""
    return list(BENCHMARKS)


def complete_dataset_setting(context: typer.Context, incomplete: str) -> list[str]:
    """Settings of the named data set, or of a folder of images, or the known values of one."""
    return _overrides(_settings(BENCHMARKS.get(_typed(context)[0], BENCHMARKS["folder"]).settings), incomplete)


def _typed(context: typer.Context) -> list[str]:
    """The arguments before the cursor, without options."""
    arguments = [each.name for each in context.command.params if each.param_type_name == "argument"]
    values = [context.params.get(name or "") or [] for name in arguments]
    return [str(each) for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]


def _experiment_settings(config: str | None, overrides: list[str]) -> dict[str, list[str]]:
    """Full names of all settings of an experiment, or of a folder of images, with their known values."""
    rows = {name: None for name, method in METHODS.items() if not method.needs_groups}
    values = read_file(config) if config else {"dataset": {"name": "folder", "root": "."}, "methods": rows}
    search = values.pop("sweep", None)
    overrides = [override for override in overrides if not override.startswith("sweep.")]
    resolved = resolve(values, overrides, locate(config or ".")).config
    sections = {name: type(section) for name, section in resolved if isinstance(section, Settings)}
    sections["training"] = TrainingSettings
    for row in methods(resolved):
        label = f"methods.{row.label}"
        sections |= {label: type(row.settings)} | {f"{label}.{name}": model for name, model in OVERRIDABLE.items()}
    if search:
        from ddb.experiment.sweep import SweepSettings

        sections["sweep"] = SweepSettings
    found = {name: known for name, known in _settings(type(resolved)).items() if name not in sections}
    for section, model in sections.items():
        found |= {f"{section}.{name}": known for name, known in _settings(model).items()}
    found |= {"dataset.name": list(BENCHMARKS)}
    if not search:
        found |= {f"vary.{name}": [] for name in found if name.partition(".")[0] not in COMMON}
    presets = over_base(values, locate(config or ".")).get("presets") or {}
    return found | {"base": list(names()), "preset": list(presets)}


@cache
def _settings(model: type[Settings]) -> dict[str, list[str]]:
    """The settings of a class, with their known values."""
    return {name: _known(schema) for name, schema in model.model_json_schema()["properties"].items()}


def _known(schema: dict[str, Any]) -> list[str]:
    """The values of a Literal, a registry or a bool."""
    inner = [value for each in schema.get("anyOf", []) for value in _known(each)]
    constant = [schema["const"]] if "const" in schema else []
    switch = ["true", "false"] if schema.get("type") == "boolean" else []
    return inner or [str(value) for value in schema.get("enum", constant) or switch]


def _overrides(settings: dict[str, list[str]], incomplete: str) -> list[str]:
    key, equals, _ = incomplete.partition("=")
    if equals:
        return [f"{key}={value}" for value in settings.get(key, [])]
    return _up_to([f"{name}=" for name in settings], incomplete, ".")


def _up_to(found: Iterable[str], incomplete: str, separator: str) -> list[str]:
    """What begins with `incomplete`, each cut behind the next separator."""
    matching = [name for name in found if name.startswith(incomplete)]
    return list(dict.fromkeys(name[: name.find(separator, len(incomplete)) + 1] or name for name in matching))
