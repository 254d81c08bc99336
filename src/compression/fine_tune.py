"""Steps that train: fine-tuning, and distillation of a student.

Both go on from where a killed process was, with the same bytes in the end, as every training does.
"""

import copy
from typing import Any

from pydantic import TypeAdapter, ValidationError

from src.compression.artifacts import StepContext, TorchModel
from src.compression.onnx.library_errors import UnsupportedModelError
from src.config.schema.compress import Distill, Finetune
from src.config.schema.model import Cnn, Lenet, Model, Timm
from src.config.schema.train import Train
from src.models.saving import ModelSpec
from src.models.size import count_parameters
from src.training.fine_tuning import FineTuning
from src.training.fit import TrainingTask, fit


def finetune(model: TorchModel, step: Finetune, setting: StepContext) -> TorchModel:
    """Train the network on; zeros that its masks name stay zeros."""
    refinement = FineTuning(network=copy.deepcopy(model.network), masks=model.masks)
    return _train(model.spec, refinement, fine_tuning_config(setting.train, step.epochs, step.lr), setting)


def distill(model: TorchModel, step: Distill, setting: StepContext) -> TorchModel:
    """Train a new student, or the network as it is, on the base's soft labels and the true ones.

    Raises:
        MethodError: the base's kind of model has no such student.
    """
    new = step.student is not None
    spec = _student(model.spec, step.student or {})
    refinement = FineTuning(
        network=None if new else copy.deepcopy(model.network),
        masks={} if new else model.masks,
        teacher=copy.deepcopy(setting.base.network),
        temperature=step.temperature,
        alpha=step.alpha,
    )
    student = _train(spec, refinement, fine_tuning_config(setting.train, step.epochs, step.lr), setting)
    sizes = [count_parameters(each.network) for each in (student, setting.base)]
    if new and sizes[0] >= sizes[1]:
        setting.say(
            f"the student has {sizes[0]:,} parameters, and its teacher {sizes[1]:,}: nothing is saved"
        )
    return student


def fine_tuning_config(train: Train, epochs: int, lr: float) -> Train:
    """The base model's training settings with other epochs and another peak learning rate."""
    optimizer = train.optimizer.model_copy(update={"lr": lr})
    return train.model_copy(update={"epochs": epochs, "optimizer": optimizer})


def make_task(spec: ModelSpec, train: Train, setting: StepContext) -> TrainingTask:
    """A training on the rows, images and normalization of the base's."""
    return TrainingTask(
        model=spec.model,
        augment=setting.augment,
        train=train,
        images=setting.images,
        targets=setting.targets,
        train_rows=setting.train_rows,
        val_rows=setting.val_rows,
        shift=spec.normalization.shift,
        scale=spec.normalization.scale,
        classes=len(spec.classes),
        seed=setting.seed,
    )


def _train(spec: ModelSpec, refinement: FineTuning, train: Train, setting: StepContext) -> TorchModel:
    task = make_task(spec, train, setting)
    fitted = fit(task, setting.state, setting.device, show=setting.show, refinement=refinement)
    return TorchModel(fitted.network, spec, refinement.masks)


def _student(spec: ModelSpec, fields: dict[str, Any]) -> ModelSpec:
    """The base's spec with these fields of its model changed."""
    values = {**spec.model.model_dump(mode="json"), **fields}
    try:
        model: Cnn | Lenet | Timm = TypeAdapter(Model).validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"][1:])
        raise UnsupportedModelError(
            f"no student of model.kind={spec.model.kind} can be made: {key}: {fault['msg']} (distill.student)"
        ) from error
    return ModelSpec(model, spec.classes, spec.input, spec.normalization)
