"""A plan as plain JSON values, for a worker that joins a study on another machine."""

from dataclasses import asdict
from typing import Any

from src.search.engine.distributions import Categorical, Distribution, Range
from src.search.engine.plan import SearchPlan
from src.search.engine.space import SearchSpace


def plan_to_json(plan: SearchPlan) -> dict[str, Any]:
    """Mappings, lists, texts and numbers only."""
    space = {
        # a list, because JSON in a database may lose the order of a mapping
        "domains": [[name, _domain_to_json(domain)] for name, domain in plan.space.domains.items()],
        "groups": list(plan.space.groups),
        "present": [[list(names), sorted(fields)] for names, fields in sorted(plan.space.present.items())],
    }
    plain = {name: getattr(plan, name) for name in SearchPlan.__dataclass_fields__ if name != "space"}
    objectives = [list(item) for item in plan.objectives.items()]
    lists = {"constraints": list(plan.constraints), "enqueue": list(plan.enqueue)}
    return {**plain, "space": space, "objectives": objectives, **lists}


def plan_from_json(content: dict[str, Any]) -> SearchPlan:
    """The plan that :func:`plan_to_json` was given."""
    space = content["space"]
    rebuilt = SearchSpace(
        domains={name: _domain_from_json(domain) for name, domain in space["domains"]},
        groups=tuple(space["groups"]),
        present={tuple(names): frozenset(fields) for names, fields in space["present"]},
    )
    changed = {
        "space": rebuilt,
        "objectives": dict(content["objectives"]),
        "constraints": tuple(content["constraints"]),
        "enqueue": tuple(content["enqueue"]),
    }
    return SearchPlan(**{**content, **changed})


def _domain_to_json(domain: Distribution) -> dict[str, Any]:
    return {"values": list(domain.values)} if isinstance(domain, Categorical) else asdict(domain)


def _domain_from_json(content: dict[str, Any]) -> Distribution:
    return Categorical(tuple(content["values"])) if "values" in content else Range(**content)
