"""YAML as DVC reads it: version 1.2, in which ``010`` is ten and ``off`` is a word.

PyYAML reads YAML 1.1, where ``010`` is eight and ``off`` is false. ``params.yaml`` and ``dvc.lock`` are also
read by DVC, so both must mean the same here. ruamel.yaml, DVC's own reader, is six times slower on
``dvc.lock``: only its rules for plain scalars are used, on top of PyYAML's parser in C.
"""

from typing import Any

import yaml
from ruamel.yaml.resolver import implicit_resolvers

VERSION = (1, 2)


class _Loader(yaml.CSafeLoader):
    """Plain scalars by the rules of YAML 1.2; a key that occurs twice is an error."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML declares it

    def integer(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        digits = text.lstrip("+-")
        base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
        return int(text, base)

    def mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value if not key.tag.endswith(":merge")]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"duplicate key {', '.join(twice)}{node.start_mark}")
        return self.construct_mapping(node, deep=True)


for _versions, _tag, _pattern, _first in implicit_resolvers:
    if VERSION in _versions:
        _Loader.add_implicit_resolver(_tag, _pattern, _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)


def load_yaml(text: str) -> Any:
    """The content of a YAML document.

    Raises:
        yaml.YAMLError: The text is not valid YAML, or has a key twice.
    """
    return yaml.load(text, Loader=_Loader)
