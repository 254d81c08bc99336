"""Small computations, of everything that the pipeline computes, whose bytes all held CPUs must agree in.

Inputs come from NumPy's generator, which is exact. Each probe returns arrays, or the bytes of a file.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from src.compression.onnx.runtime import onnx_session
from src.compression.onnx.sample import int8_sample
from src.config.schema.augment import Augment
from src.config.schema.evaluate import CorruptionName
from src.config.schema.model import ModelConfig
from src.config.schema.optimizers import PORTABLE
from src.config.schema.train import Train
from src.core.seeds import derive_seed
from src.data.dataset.statistics import channel_statistics
from src.data.loading.augmentation import Augmentation
from src.data.splitting.leakage import standardized_thumbnails
from src.evaluation.metrics import classification
from src.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from src.evaluation.uncertainty import bootstrap
from src.evaluation.uncertainty.intervals import wilson
from src.models.build import build_model
from src.models.numerics import deterministic, seed_torch
from src.training.classifier import Classifier
from src.training.feature_fit import fit_head
from src.training.fine_tuning import FineTuning, distillation_loss
from src.training.losses import classification_loss
from src.training.mixing import mix
from src.training.optimizers import create_optimizer
from src.training.validation import ValidationMetrics

Array = NDArray[Any]
Result = Array | Tensor | bytes | float
Probe = Callable[[], Result | tuple[Result, ...]]
CPU = torch.device("cpu")
SIZE = (1, 12, 12)
CLASSES = 10
STEPS = 5
OPERATIONS: tuple[dict[str, Any], ...] = (
    {"name": "crop", "padding": 1},
    {"name": "flip", "axis": "horizontal", "p": 0.5},
    {"name": "rotate", "degrees": 10.0},
    {"name": "scale", "low": 0.9, "high": 1.1},
    {"name": "translate", "fraction": 0.1},
    {"name": "shear", "degrees": 5.0},
    {"name": "brightness", "strength": 0.2},
    {"name": "contrast", "strength": 0.2},
    {"name": "saturation", "strength": 0.2},
    {"name": "hue", "strength": 0.1},
    {"name": "noise", "std": 0.02, "p": 0.5},
    {"name": "blur", "sigma": 1.0, "p": 0.5},
    {"name": "erase", "p": 0.5, "area": 0.2},
)
TRAIN: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "accumulate_grad_batches": 1,
    "sampler": "shuffle",
    "optimizer": {"name": "adamw", "lr": 0.004, "weight_decay": 0.02, "momentum": 0.9, "options": {}},
    "schedule": {"name": "one_cycle", "warmup": 0.1, "step_epochs": 1, "gamma": 0.1, "patience": 1},
    "loss": {"name": "cross_entropy", "gamma": 2.0},
    "class_weights": "none",
    "class_weights_beta": 0.999,
    "label_smoothing": 0.1,
    "mixup": 0.0,
    "cutmix": 0.0,
    "l1": 0.0,
    "gradient_clip_val": 1.0,
    "ema_decay": 0.9,
    "swa_start": 0.0,
    "patience": 0,
    "monitor": "val/accuracy",
    "precision": "portable",
    "threads": "auto",
    "temperature_scaling": False,
    "finetune": {"layers": "all", "stages": 1, "unfreeze_epochs": [], "layer_decay": 1.0},
    "callbacks": [],
}
LOSSES: dict[str, dict[str, Any]] = {
    **{name: {"name": name} for name in ("cross_entropy", "binary_cross_entropy", "mean_squared_error")},
    **{f"focal {gamma}": {"name": "focal", "gamma": gamma} for gamma in (0.5, 1.5, 2.0)},
}
CNN = {"kind": "cnn", "widths": [16, 32], "kernel_size": 3, "activation": "relu", "pooling": "max"}
TIMM = {"kind": "timm", "weights": None, "stem": "standard", "dropout": 0.0, "drop_path": 0.0}
TIMM_NAMES = ("test_resnet", "test_efficientnet", "test_vit", "test_convnext")
RECURRENT = {"kind": "rnn", "weights": None, "units": 32, "layers": 2, "bidirectional": True, "dropout": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "cnn": {**CNN, "batch_norm": True, "dropout": 0.1},
    "cnn gelu": {**CNN, "activation": "gelu", "pooling": "avg", "batch_norm": True, "dropout": 0.0},
    "lenet": {"kind": "lenet", "activation": "tanh", "dropout": 0.1},
    "mlp": {"kind": "mlp", "hidden": [64, 32], "activation": "sigmoid", "dropout": 0.1},
    **{f"recurrent {cell}": {**RECURRENT, "cell": cell} for cell in ("rnn", "lstm", "gru")},
    **{f"timm {name}": {**TIMM, "name": name} for name in TIMM_NAMES},
}
FEATURE_MODEL = {"name": "test_resnet", "weights": None, "stem": "auto"}
SVM = {**FEATURE_MODEL, "kind": "svm", "C": 1.0, "gamma": "scale"}
HEADS: dict[str, dict[str, Any]] = {
    "linear_probe": {**FEATURE_MODEL, "kind": "linear_probe", "C": 1.0},
    **{f"svm {kernel}": {**SVM, "kernel": kernel} for kernel in ("linear", "rbf", "poly")},
    "knn": {**FEATURE_MODEL, "kind": "knn", "k": 5, "metric": "cosine", "vote": "distance"},
}


def hashes() -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of each probe, one after another."""
    with deterministic(1):
        for name, probe in probes().items():
            seed_torch(derive_seed(0, name), CPU)
            yield name, _hash(probe())


def probes() -> Mapping[str, Probe]:
    """All probes by name."""
    return {
        **_numpy_probes(),
        **_torch_probes(),
        **{f"augmentation {each['name']}": partial(_augment, each) for each in OPERATIONS},
        **{f"corruption {name}": partial(_corrupt, name) for name in CORRUPTIONS},
        **{f"optimizer {name}": partial(_optimize, name) for name in PORTABLE},
        **{f"loss {name}": partial(_lose, **fields) for name, fields in LOSSES.items()},
        "mixup": partial(_mix, mixup=0.4),
        "cutmix": partial(_mix, cutmix=1.0),
        **{f"network {name}": partial(_gradients, name) for name in MODELS},
        **{f"training step {step}": partial(_train, step) for step in range(1, STEPS + 1)},
        **{f"head {name}": partial(_fit, name) for name in HEADS},
        **_result_probes(),
    }


def _numpy_probes() -> dict[str, Probe]:
    values, matrix = _uniform(20_011) * 8 + 0.01, _uniform(200, 150)
    single, rounded = values.astype(np.float32), matrix.astype(np.float32)
    functions = ("exp", "log", "sqrt", "sin", "cos", "tan", "arctan", "tanh")
    return {
        **{f"numpy {name}": partial(getattr(np, name), values) for name in functions},
        **{f"numpy {name} float32": partial(getattr(np, name), single) for name in functions},
        "numpy sum": lambda: (values.sum(), single.sum(), values.std()),
        "numpy matrix product": lambda: (matrix @ matrix.T, rounded @ rounded.T),
        "numpy svd": lambda: tuple(np.linalg.svd(matrix[:40, :30])),
        "numpy einsum": lambda: np.einsum("i,ij->j", matrix[:, 0], matrix),
        "numpy quantile": lambda: np.quantile(values, [0.025, 0.975]),
    }


def _torch_probes() -> dict[str, Probe]:
    values = torch.from_numpy((_uniform(20_011) * 8 - 4).astype(np.float32))
    maps, weight = _images(3, 28), torch.from_numpy((_uniform(16, 3, 3, 3) - 0.5).astype(np.float32))
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        **{name: getattr(torch, name) for name in ("exp", "tanh", "sigmoid", "erf", "rsqrt")},
        **{name: getattr(functional, name) for name in ("gelu", "silu", "softplus", "hardswish")},
    }
    draws: dict[str, Callable[[], Tensor]] = {
        "rand": lambda: torch.rand(1000),
        "randn": lambda: torch.randn(1000),
        "randint": lambda: torch.randint(0, 9, (1000,)),
        "randperm": lambda: torch.randperm(1000),
        "dropout": lambda: functional.dropout(torch.ones(1000), 0.3),
        "trunc_normal": lambda: nn.init.trunc_normal_(torch.empty(1000), std=0.02),
    }
    return {
        **{f"torch {name}": partial(call, values) for name, call in functions.items()},
        **{f"torch {name}": call for name, call in draws.items()},
        "torch sum": lambda: (maps.sum(), maps.mean((0, 2, 3)), maps.var((2, 3)), maps.norm()),
        "torch linear": lambda: functional.linear(values[:20_000].view(-1, 200), values[:2000].view(-1, 200)),
        "torch convolution": lambda: _layer(lambda x: functional.conv2d(x, weight, padding=1), maps),
        "torch depthwise": lambda: _layer(lambda x: functional.conv2d(x, weight[:3, :1], groups=3), maps),
        "torch batch norm": lambda: _layer(nn.BatchNorm2d(3), maps),
        "torch max pool": lambda: _layer(lambda x: functional.max_pool2d(x, 2), maps),
        "torch cross entropy": lambda: _layer(
            lambda x: functional.cross_entropy(x, torch.arange(64) % 10, label_smoothing=0.1),
            values[:640].view(64, 10),
        ),
        "torch distillation": lambda: distillation_loss(
            values[:640].view(64, 10), values[640:1280].view(64, 10), 2.0
        ),
    }


def _result_probes() -> dict[str, Probe]:
    """What stages compute from predictions and pixels, and the files that they write."""
    targets = np.arange(300) % CLASSES
    logits = _uniform(300, CLASSES) * 6 + 2 * np.eye(CLASSES)[targets]
    probabilities = classification.softmax(logits.astype(np.float32))
    pixels = _images(3, 31).mul(255).byte().numpy()

    def intervals() -> Array:
        found = bootstrap.bootstrap(
            probabilities,
            targets,
            top_k=3,
            bins=15,
            resamples=200,
            confidence=0.95,
            seed=0,
            advance=_ignore,
        )
        return np.array([[each.low, each.high] for each in found.values()])

    return {
        "metrics": lambda: np.array([*classification.summary(probabilities, targets, 3, 15).values()]),
        "bootstrap": intervals,
        "wilson": lambda: tuple(vars(wilson(55, 60, 0.95)).values()),
        "thumbnails": lambda: standardized_thumbnails(pixels),
        "statistics": lambda: channel_statistics(pixels, np.arange(len(pixels))).std,
        "jpeg": lambda: _decoded(pixels[0], "jpeg"),
        "resize": lambda: np.asarray(Image.fromarray(pixels[0, 0]).resize((17, 13), Image.Resampling.BOX)),
        "png file": lambda: _file(pixels[0], "png"),
        "int8": _int8,
    }


def _augment(operation: dict[str, Any]) -> Tensor:
    operations = Augment.model_validate({"operations": [operation]}).operations
    return Tensor(Augmentation(operations)(_images(3, 28)))


def _corrupt(name: CorruptionName) -> tuple[Array, ...]:
    """At every severity, small images and larger ones."""
    return tuple(
        corrupt(_images(3, side).mul(255).byte().numpy()[:8], np.arange(8), name, severity, seed=0)
        for severity in SEVERITIES
        for side in (8, 45)
    )


def _optimize(name: str) -> Tensor:
    network = nn.Linear(30, 20)
    config = _train_section(name).optimizer
    optimizer = create_optimizer(network, config)
    for step in range(STEPS):
        network.weight.grad = torch.from_numpy(np.roll((_uniform(20, 30) - 0.5).astype(np.float32), step))
        optimizer.step()
    return network.weight


def _lose(name: str, gamma: float = 0.0) -> tuple[Tensor, ...]:
    """Loss and gradient, with weights and label smoothing."""
    train = Train.model_validate({**TRAIN, "loss": {"name": name, "gamma": gamma}})
    logits = torch.from_numpy((_uniform(64, CLASSES) * 12 - 6).astype(np.float32))
    targets, weights = torch.arange(64) % CLASSES, torch.linspace(0.5, 2, CLASSES)
    return _layer(lambda x: classification_loss(x, targets, train, weights), logits)


def _mix(**alphas: float) -> tuple[Tensor, ...]:
    train = Train.model_validate({**TRAIN, **alphas})
    return mix(_images(3, 28), torch.arange(32) % CLASSES, CLASSES, train, np.random.default_rng(0))


def _gradients(name: str) -> tuple[Tensor, ...]:
    """Initial weights, output and gradients of a network."""
    channels, height, width = (3, 32, 32) if name.startswith("timm") else SIZE
    network = _network(name, (channels, height, width))
    loss = network(_images(channels, height)).square().mean()
    torch.autograd.backward(loss)
    return (loss, *(weight.grad for weight in network.parameters() if weight.grad is not None))


def _train(steps: int) -> tuple[Tensor, ...]:
    """Weights, and averaged weights, after some steps of a training with augmentation."""
    operations = Augment.model_validate({"operations": list(OPERATIONS[:6])}).operations
    network = _network("cnn", SIZE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    names = [str(number) for number in range(CLASSES)]
    module = Classifier(
        network,
        Augmentation(operations),
        _train_section("adamw"),
        shift=[0.3],
        scale=[0.4],
        seed=0,
        batches=STEPS,
        fine_tuning=FineTuning(),
        validation=ValidationMetrics([], names),
    ).train()
    optimizer: Any = module.configure_optimizers()
    module.on_train_epoch_start()
    batch = _images(1, SIZE[1]).mul(255).byte(), torch.arange(32) % CLASSES
    for step in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(module.training_step(batch, step))
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        module.on_train_batch_end(None, batch, step)
    return tuple(module.state_dict().values())


def _fit(name: str) -> tuple[Tensor, ...]:
    """The state of a head that is fitted to features, and its scores for others."""
    from pydantic import TypeAdapter

    model: Any = TypeAdapter(ModelConfig).validate_python(HEADS[name])
    targets = np.arange(150) % CLASSES
    signal = np.eye(CLASSES, 64)[np.arange(300) % CLASSES]
    features = torch.from_numpy((_uniform(300, 64) + 0.5 * signal).astype(np.float32))
    head = fit_head(model, features[:150], targets, CLASSES, [1.0] * 5 + [2.0] * 5)
    return *head.state_dict().values(), head(features[150:])


def _int8() -> Array:
    """Logits of a convolution with int8 weights in ONNX Runtime."""
    model = int8_sample(_uniform(16, 3, 3, 3), _uniform(16, CLASSES))
    session = onnx_session(model, threads=1, portable=True)
    logits: Array = session.run(None, {"x": _images(3, 28).numpy()})[0]
    return logits


def _layer(layer: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, ...]:
    """Output and gradient."""
    x = x.clone().contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.clone()
    result = layer(x.requires_grad_())
    torch.autograd.backward(result.square().sum())
    assert x.grad is not None
    return result, x.grad


def _network(name: str, size: tuple[int, int, int]) -> nn.Module:
    from pydantic import TypeAdapter

    model: ModelConfig = TypeAdapter(ModelConfig).validate_python(MODELS[name])
    return build_model(model, size[0], CLASSES, size[1:])


def _train_section(optimizer: str) -> Train:
    return Train.model_validate({**TRAIN, "optimizer": {**TRAIN["optimizer"], "name": optimizer}})


def _uniform(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape)


def _images(channels: int, side: int) -> Tensor:
    return torch.from_numpy(_uniform(32, channels, side, side).astype(np.float32))


def _file(pixels: Array, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, kind)
    return buffer.getvalue()


def _decoded(pixels: Array, kind: str) -> Array:
    return np.asarray(Image.open(io.BytesIO(_file(pixels, kind))))


def _ignore(done: int) -> None:
    """Nobody follows."""


def _hash(result: Result | tuple[Result, ...]) -> str:
    digest = hashlib.sha256()
    for part in result if isinstance(result, tuple) else (result,):
        value = part.detach().contiguous().numpy() if isinstance(part, Tensor) else part
        digest.update(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
