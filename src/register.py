"""Choose a variant, and register all that were measured in the MLflow Model Registry.

    dvc repro register
    python -m src.register --promote 3 --reason "…"      make version 3 champion, whatever the policy says
    python -m src.register --rollback                    restore the previous champion
    python -m src.register register.name=other           an ad-hoc run, under another name

Every variant with a model becomes a version of the registered model `register.name`, with a model card as its
description. The variant that `register.policy` chooses, without test metrics, gets the alias `challenger`. It
is non-inferior to the base, or is the base itself. It becomes `champion` if `register.promote` allows it, and
if it is non-inferior to the current champion and to the best of the earlier ones: the upper limit of its loss
on the validation images lies within `register.policy.margin`. Writes reports/register: decision.json (the
decision with its reasons), summary.json (the champion's metrics for DVC) and confusion.csv (of the choice).
Takes a few seconds. If MLflow does not respond, nothing is lost: `python -m src.track` later registers the
versions and decides on the promotion by the same rule.
"""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from src.core.errors import AssayError, ends_with_message
from src.core.files import write_json
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.job import parse_arguments, repository_root

if TYPE_CHECKING:
    from src.config.schema import Config


def add_options(parser: ArgumentParser) -> None:
    """The options of this stage only."""
    parser.add_argument("--promote", metavar="VERSION", help="make this version champion; needs --reason")
    parser.add_argument("--rollback", action="store_true", help="back to the previous champion")
    parser.add_argument("--reason", default="", help="why, for the record")


def build(config: "Config", run: StageRun) -> None:
    """Choose, write the decisions to the journal, apply them in MLflow, and report."""
    from src.registry.registrations import register_variants
    from src.registry.report import champion_summary, terminal_lines

    decision, versions = register_variants(config, run)
    write_json(run.folder / "decision.json", decision)
    write_json(run.folder / "summary.json", champion_summary(versions))
    for line in terminal_lines(decision, versions):
        run.say(line)


def change_champion(arguments: Namespace) -> None:
    """Do what --promote or --rollback ask for, and exit; return if neither is given."""
    if arguments.promote is None and not arguments.rollback:
        return
    from src.config.loading import load
    from src.registry import manual

    with ends_with_message("register"):
        if arguments.promote is not None and arguments.rollback:
            raise AssayError("--promote and --rollback exclude each other: give one of them")
        name = load(arguments.overrides).config.register_.name
        print(manual.change_champion(repository_root(), name, arguments.promote, arguments.reason))
    sys.exit(0)


if __name__ == "__main__":
    change_champion(parse_arguments("register", __doc__, add_options))
    run_stage("register", build, __doc__, add_options)
