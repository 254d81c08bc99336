"""Types that the sections share."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from src.core.errors import AssayError

Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]


class FieldError(ValueError):
    """A fault in one field of a section, found by a validator of the whole section."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, closed to unknown keys.

    A stage gets a view that has only the fields it declares: see :func:`src.config.view.restrict`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    _key: str = PrivateAttr(default="")  # of a view: the dotted key of this section

    if not TYPE_CHECKING:  # for mypy every field exists, and no other name does

        def __getattr__(self, name: str) -> Any:
            """Called for what the instance lacks: a field that the view leaves out."""
            field = type(self).model_fields.get(name)
            if field is None:
                return super().__getattr__(name)
            key = f"{self._key}.{field.alias or name}".lstrip(".")
            raise AssayError(
                f"this stage reads {key}, which it does not declare, so DVC would not rerun it when {key} "
                f"changes. Add {key} to the params of the stage in dvc.yaml"
            )
