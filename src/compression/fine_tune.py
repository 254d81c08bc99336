"""Steps that train: fine-tuning, and distillation of a student.

Both continue where a killed process stopped and end with the same bytes, as every training does.
"""

import copy
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from src.compression.artifacts import StepContext, TorchModel
from src.compression.feature_models import refuse_row_head
from src.compression.onnx.library_errors import UnsupportedModelError
from src.config.schema.compress import Distill, Finetune
from src.config.schema.model import ModelConfig
from src.config.schema.train import Train
from src.models.saving import ModelSpec
from src.models.size import count_parameters
from src.training.early_stopping import LAST
from src.training.fine_tuning import FineTuning
from src.training.fit import fit
from src.training.task import TrainingTask


def finetune(model: TorchModel, step: Finetune, context: StepContext) -> TorchModel:
    """Continue to train the network. Weights that are masked stay zero.

    Raises:
        UnsupportedModelError: its head cannot be trained.
    """
    refuse_row_head(model.network, step.name)
    fine_tuning = FineTuning(network=copy.deepcopy(model.network), masks=model.masks)
    return _train(model.spec, fine_tuning, fine_tuning_config(context.train, step.epochs, step.lr), context)


def distill(model: TorchModel, step: Distill, context: StepContext) -> TorchModel:
    """Train a new student, or the network as it is, on the soft labels of the base and the true labels.

    Raises:
        UnsupportedModelError: the base's kind of model has no such student, or a head that cannot be trained.
    """
    refuse_row_head(model.network, step.name)
    new = step.student is not None
    spec = _student(model.spec, step.student or {})
    fine_tuning = FineTuning(
        network=None if new else copy.deepcopy(model.network),
        masks={} if new else model.masks,
        teacher=copy.deepcopy(context.base.network),
        temperature=step.temperature,
        alpha=step.alpha,
    )
    student = _train(spec, fine_tuning, fine_tuning_config(context.train, step.epochs, step.lr), context)
    sizes = [count_parameters(each.network) for each in (student, context.base)]
    if new and sizes[0] >= sizes[1]:
        context.say(f"the student has {sizes[0]:,} parameters, its teacher {sizes[1]:,}: it is no smaller")
    return student


def fine_tuning_config(train: Train, epochs: int, lr: float) -> Train:
    """The base model's training settings with other epochs and another peak learning rate.

    The last epoch is kept. The validation images will choose among the variants; if they chose the epoch too,
    they would judge their own choice.
    """
    optimizer = train.optimizer.model_copy(update={"lr": lr})
    whole = train.finetune.model_copy(update={"layers": "all", "layer_decay": 1.0})
    changes = {"epochs": epochs, "optimizer": optimizer, "monitor": LAST, "patience": 0, "finetune": whole}
    return train.model_copy(update=changes)


def make_task(spec: ModelSpec, train: Train, context: StepContext) -> TrainingTask:
    """A training with the rows, images and normalization of the base."""
    return TrainingTask(
        model=spec.model,
        augment=context.augment,
        train=train,
        images=context.images,
        targets=context.targets,
        train_rows=context.train_rows,
        val_rows=context.val_rows,
        shift=spec.normalization.shift,
        scale=spec.normalization.scale,
        classes=spec.classes,
        seed=context.seed,
    )


def _train(spec: ModelSpec, fine_tuning: FineTuning, train: Train, context: StepContext) -> TorchModel:
    task = make_task(spec, train, context)
    fitted = fit(task, context.state, context.device, show=context.show, fine_tuning=fine_tuning)
    return TorchModel(fitted.network, spec, fine_tuning.masks)


def _student(spec: ModelSpec, fields: dict[str, Any]) -> ModelSpec:
    """The base's spec with these fields of its model changed."""
    values = {**spec.model.model_dump(mode="json"), **fields}
    try:
        model: ModelConfig = TypeAdapter(ModelConfig).validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"][1:])
        raise UnsupportedModelError(
            f"distill.student does not fit model.kind={spec.model.kind}: {key}: {fault['msg']}"
        ) from error
    return replace(spec, model=model)
