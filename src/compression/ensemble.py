"""The step ``ensemble``: the base and networks trained like it with different seeds."""

from dataclasses import replace

from src.compression.artifacts import StepContext, TorchModel
from src.compression.fine_tune import make_task
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.voting import EnsembleNetwork
from src.config.schema.compress import Ensemble
from src.config.schema.model import FeatureModel
from src.core.seeds import derive_seed
from src.pretrained.files import find_weights
from src.training.early_stopping import LAST
from src.training.fit import TrainingResult, fit
from src.training.task import TrainingTask


def ensemble(model: TorchModel, step: Ensemble, context: StepContext) -> TorchModel:
    """Train ``step.members`` - 1 networks and let them vote with the base (Lakshminarayanan et al., 2017).

    Each keeps its checkpoints in a folder of its own, so a killed run continues with the member that it was
    training.

    Raises:
        UnsupportedModelError: no other seed makes another member.
        AssayError: the pretrained weights are missing.
    """
    if isinstance(model.spec.model, FeatureModel):
        raise UnsupportedModelError(
            "ensemble needs members that differ, and every seed fits the same head to the features of "
            f"model.kind={model.spec.model.kind}"
        )
    others = [_train(number, step.members, context) for number in range(2, step.members + 1)]
    network = EnsembleNetwork([model.network, *(each.network for each in others)])
    return TorchModel(network.eval(), model.spec)


def member_task(number: int, context: StepContext) -> TrainingTask:
    """The training of one member: the same as the base's, with a different seed.

    It keeps its last epoch, as every training of a variant does: the validation images will judge the
    ensemble, and choose neither its epochs nor its members.
    """
    spec = context.base.spec
    train = context.train.model_copy(update={"monitor": LAST, "patience": 0})
    return replace(
        make_task(spec, train, context),
        seed=derive_seed(context.seed, "member", number),
        weights=find_weights(spec.model, context.weights),
        features=context.features,
    )


def _train(number: int, members: int, context: StepContext) -> TrainingResult:
    state = context.state / f"member-{number}"
    fitted = fit(member_task(number, context), state, context.device, show=context.show)
    context.say(f"member {number} of {members}: validation accuracy {fitted.best['val/accuracy']:.4f}")
    return fitted
