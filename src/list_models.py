"""List every model in conf/model: its size, its cost, and what it is good for.

    python -m src.list_models                          for the data in params.yaml
    python -m src.list_models --data fashion_mnist     for the data in conf/data/fashion_mnist.yaml
    python -m src.list_models --time                   also measure a training and an inference step here

Layers are the convolutions and linear layers on the longest path through the network. Multiply-adds are for
one image; bytes are those of the weights in fp32. Takes a second or two per model, and a few with --time.
"""

import argparse
from pathlib import Path

from src.core.errors import AssayError, ends_with_message
from src.core.progress import progress_bar


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m src.list_models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", metavar="NAME", help="use the image size and channels of conf/data/NAME.yaml"
    )
    parser.add_argument("--time", action="store_true", help="measure a training and an inference step")
    arguments = parser.parse_args()
    with ends_with_message("list_models"):
        if not Path("conf").is_dir():
            raise AssayError("conf/ is missing: run this in the root of the repository")
        _run(arguments.data, arguments.time)


def _run(data: str | None, timed: bool) -> None:
    from src.config.loading import group_choices, load_conf
    from src.pipeline.paths import WEIGHTS
    from src.proposal.model_table import describe_model, print_table, purpose

    chosen = ["train.precision=auto", *(["experiment=null", f"data={data}"] if data else [])]
    config = load_conf(chosen).config
    choices, rows = group_choices("model"), []
    with progress_bar("Models", total=len(choices)) as advance:
        for choice in choices:
            ours = load_conf([*chosen, f"model={choice}"]).config
            text = Path("conf/model", f"{choice}.yaml").read_text(encoding="utf-8")
            rows.append(describe_model(choice, ours, WEIGHTS, purpose(text), timed))
            advance(1)
    height, width = config.data.image_size
    kind = "gray" if config.data.channels == 1 else "color"
    print(f"For {kind} images of {height} × {width} pixels ({config.data.name}):\n")
    print_table(rows, timed)


if __name__ == "__main__":
    main()
