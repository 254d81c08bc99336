"""Choose a variant, and put all that were measured into the MLflow Model Registry.

    dvc repro register                                   (by hand, under another name: … register.name=mine)
    python -m src.register --promote 3 --reason "…"      make version 3 champion, whatever the rule says
    python -m src.register --rollback                    make the champion before the present one champion

Every variant with a model becomes a version of the registered model `register.name`, with its figures as
tags and a model card as its description. The choice of `register.policy`, which sees validation figures
only, bears the alias `challenger`; it becomes `champion` if `register.promote` allows it, and if on the same
validation images it is not significantly worse than the present champion. The decision and its reasons go to
reports/register/decision.json. Takes a few seconds. If MLflow does not answer, all is kept, and
`python -m src.track` carries it out and rules on the promotion by the same rule.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.job import parse_arguments, repository_root

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.registry.decisions import Challenge, Registration
    from src.registry.policy import Choice

COMPARE, BENCHMARK = Path("reports/compare"), Path("reports/benchmark")


def build(config: "Config", run: StageRun) -> None:
    """Choose, write down what is to be registered, let MLflow follow, and write the decision."""
    from src.core.files import write_json
    from src.registry.decisions import append_decisions, ruling_on
    from src.registry.imported_results import adopt_reports
    from src.registry.mlflow_registry import try_apply_decisions
    from src.registry.policy import choose
    from src.registry.registrations import make_registrations
    from src.registry.report import build_decision_report, summary
    from src.registry.variant_metrics import read_measured
    from src.tracking.mlflow_store import is_embedded

    adopt_reports(run)
    measured, machine = read_measured(COMPARE, BENCHMARK)
    choice = choose([one.candidate() for one in measured], config.register_.policy)
    made = [one for one in measured if one.row.status == "ok"]
    registrations = make_registrations(config, run, made, machine)
    challenge = _challenge(config, choice, registrations)
    append_decisions(run.root, *registrations, challenge)
    versions = try_apply_decisions(run.root, config.register_.name)
    ruling = ruling_on(run.root, challenge, is_embedded())
    decision = build_decision_report(config, choice, measured, registrations, ruling)
    write_json(run.folder / "decision.json", decision)
    for line in summary(decision, versions):
        run.say(line)


def _challenge(config: "Config", choice: "Choice", registrations: "list[Registration]") -> "Challenge":
    from src.registry.decisions import Challenge

    chosen = next((r for r in registrations if r.variant == choice.name), None)
    return Challenge(
        name=config.register_.name,
        lineage=chosen.lineage if chosen else None,
        sha256=chosen.sha256 if chosen else None,
        reason=choice.reason,
        level=config.register_.level,
        promote=config.register_.promote,
    )


def add_options(parser: ArgumentParser) -> None:
    """The options of this stage only."""
    parser.add_argument("--promote", metavar="VERSION", help="make this version champion; needs --reason")
    parser.add_argument("--rollback", action="store_true", help="back to the champion before")
    parser.add_argument("--reason", default="", help="why, for the record")


def change_champion(arguments: Namespace) -> None:
    """Do what --promote or --rollback ask for, and end; return if they are not given."""
    if arguments.promote is None and not arguments.rollback:
        return
    try:
        print(_change_champion(arguments))
    except AssayError as error:
        print(f"register failed: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def _change_champion(arguments: Namespace) -> str:
    from src.config.loading import load
    from src.registry.manual import promote, rollback
    from src.tracking.mlflow_store import unreachable

    if arguments.promote is not None and arguments.rollback:
        raise AssayError("--promote and --rollback exclude each other: give one of them")
    name, root = load(arguments.overrides).config.register_.name, repository_root()
    try:
        if arguments.rollback:
            version, news = rollback(root, name, arguments.reason)
        else:
            version, news = promote(root, name, arguments.promote, arguments.reason)
    except AssayError:
        raise
    except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
        raise unreachable(error) from error
    return f"{version}" if news else f"{version}: it was champion already, nothing has changed"


if __name__ == "__main__":
    change_champion(parse_arguments("register", __doc__, add_options))
    run_stage("register", build, __doc__, add_options)
