"""Write params.yaml from conf/, as `dvc exp run` does.

    python -m src.compose                            the defaults
    python -m src.compose experiment=fashion_mnist   with overrides, in Hydra's syntax
    python -m src.compose --check                    only list the keys in which params.yaml differs
    python -m src.compose --save NAME data=…         keep it as conf/experiment/NAME.yaml, the new default
    python -m src.compose --fields train.schedule    only describe the fields below a key
    python -m src.compose model.weights=models:/NAME@champion   fetch the weights behind a registered model

After --save, `dvc exp run -S …` starts from what was saved. Takes under a second, or a few seconds with
weights from the registry: params.yaml then names the file of the version that has the alias now. With --check
the exit code is 1 if any key differs.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from src.config.command_line import add_overrides
from src.config.dotted_keys import differing_keys
from src.core.errors import ends_with_message
from src.core.files import write_text
from src.core.hashing import file_hash
from src.pipeline.paths import WEIGHTS

if TYPE_CHECKING:
    from src.config.experiment import SavedExperiment
    from src.config.loading import LoadedConfig


def main() -> None:
    """Compose, check and write."""
    parser = argparse.ArgumentParser("python -m src.compose", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_overrides(parser, "in Hydra's syntax, such as model=lenet train.epochs=3")
    alternatives = parser.add_mutually_exclusive_group()
    alternatives.add_argument(
        "--save", metavar="NAME", help="write conf/experiment/NAME.yaml and make it the default"
    )
    alternatives.add_argument("--check", action="store_true", help="write nothing; name each differing key")
    alternatives.add_argument(
        "--fields", nargs="?", const="", metavar="KEY", help="write nothing; describe each field (below KEY)"
    )
    arguments = parser.parse_args()
    with ends_with_message("compose"):
        if arguments.fields is not None:
            from src.config.reference import describe_fields

            print(describe_fields(arguments.fields))
            return
        sys.exit(_run(arguments.overrides, arguments.check, arguments.save))


def _run(overrides: list[str], check: bool, name: str | None) -> int:
    from src.config.experiment import save_as_default
    from src.config.loading import PARAMS, compose_text, load_conf, read_params, refuse_debug

    overrides = [_resolved(override, check) for override in overrides]
    composed = load_conf(overrides)
    refuse_debug(composed.config, str(PARAMS))
    _refuse_what_cannot_begin(composed)
    if check:
        keys = differing_keys(read_params(), composed.values)
        print("\n".join(keys) if keys else "params.yaml is what conf/ composes to")
        return 1 if keys else 0
    if name is not None:
        print(f"{_describe(save_as_default(name, overrides), overrides)}\nWrote {PARAMS}. Next: dvc repro")
        return 0
    write_text(PARAMS, compose_text(overrides))
    print(f"Wrote {PARAMS}. Next: dvc repro")
    return 0


def _refuse_what_cannot_begin(composed: "LoadedConfig") -> None:
    """Raise what only the stages sweep and train would notice, hours later perhaps."""
    from src.search.engine.plan import check_supported
    from src.search.engine.trial_configs import TrialConfigs, make_plan

    if composed.config.sweep.method != "none":
        check_supported(make_plan(TrialConfigs(composed), composed.config.seed))
    if composed.config.train.callbacks:
        from src.training.callback_loading import load_callbacks  # Lightning takes seconds

        load_callbacks(composed.config.train.callbacks)


def _resolved(override: str, check: bool) -> str:
    """An alias moves on, so params.yaml names the file of the version that has it now."""
    key, _, value = override.partition("=")
    uri = value.strip("'\"")
    if key != "model.weights" or not uri.startswith("models:/"):
        return override
    from src.registry.base_weights import base_weights_name, fetch_base_weights  # MLflow takes seconds

    if check:
        return f"{key}={base_weights_name(Path.cwd(), uri)}"
    path = fetch_base_weights(Path.cwd(), uri, WEIGHTS)
    print(f"{uri} is {path.name} now: {path}, SHA-256 {file_hash(path)}, tracked by DVC")
    return f"{key}={path.name}"


def _describe(saved: "SavedExperiment", overrides: list[str]) -> str:
    """What was saved, what it builds on, and what it replaces."""
    said = " ".join(override for override in overrides if not override.startswith("experiment="))
    base = "the defaults of conf/" if saved.base == "null" else f"experiment {saved.base}"
    wrote = f"Wrote {saved.path}: {said or 'no overrides'}, on top of {base}"
    wrote += ", and replaced what the file said before" if saved.replaced else ""
    if saved.earlier == saved.path.stem:
        return f"{wrote}\nIt is still the default of conf/config.yaml"
    return f"{wrote}\nIt is now the default of conf/config.yaml, instead of experiment={saved.earlier}"


if __name__ == "__main__":
    main()
