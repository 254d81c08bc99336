"""How much time do cached features save? Trains a head on them, and through the network in every epoch.

    python -m benchmarks.features FOLDER [--splits 3] [--set data.image_size=[128,128]]

FOLDER has few images, so that ``python -m src.start`` proposes to train the head alone. The features are
computed in a first training, so that the table has the time of the head. Test images choose nothing.
"""

import tempfile
from pathlib import Path

from benchmarks.start import make_parser, measure, prepare
from src.training.features import FEATURES


def main() -> None:
    """Propose, ingest, train each split in both ways, print."""
    arguments = make_parser("features", __doc__, splits=3).parse_args()
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), arguments)
        folder = FEATURES.resolve()
        print(f"features and the first head: {measure(0, arguments.set, folder)[2]:.0f} s")
        print("seed  features  val acc  val f1  test acc  test f1  best epoch  seconds")
        for seed in range(arguments.splits):
            for word, features in (("cached", folder), ("none", None)):
                line, epoch, seconds = measure(seed, arguments.set, features)
                shown = "  ".join(f"{value:7.3f}" for value in line)
                print(f"{seed:<4}  {word:<8} {shown}  {epoch:10}  {seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
