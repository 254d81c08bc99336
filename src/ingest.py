"""Read the images of data/raw/NAME, check them, and store them as one array.

    dvc repro ingest                                         what params.yaml says, into data/ingest/
    python -m src.ingest data=image_folder data.name=NAME    an ad-hoc run, into outputs/ingest/

Each image is decoded, checked, turned upright and resized once. Writes images.npy (uint8, images × channels
× height × width), manifest.parquet (one row per image) and report.json (what was kept, dropped and
ignored, and why). Takes about 1 s for the digits, 2 s for Fashion-MNIST, and for photographs little more
than decoding them on all cores; memory does not grow with the number of images. The bytes of the result
do not depend on the number of processes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.cpus import resolve_n_jobs
from src.core.files import write_json
from src.core.progress import progress_bar
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import RAW

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: "Config", run: StageRun) -> None:
    """Write the folder of the stage."""
    from src.data.ingestion.ingest import CleaningPolicy, ingest
    from src.data.ingestion.sources import read_listing
    from src.serving.decoding import ImageFormat

    data, folder = config.data, RAW / config.data.name
    run.say(f"Data set {data.name} ({data.source}), model {_model_name(run.job.loaded.unrestricted())}")
    listing, (height, width) = read_listing(folder, data.source, data.subject), data.image_size
    with progress_bar("Decoding", total=len(listing.items), show=run.progress) as advance:
        facts = ingest(
            folder,
            listing,
            ImageFormat(height, width, data.channels, data.resize_mode, data.max_pixels, data.pad),
            CleaningPolicy(data.on_corrupt, data.on_conflict),
            run.folder,
            workers=resolve_n_jobs(config.machine.num_workers, threads=1),
            advance=advance,
        )
    write_json(run.folder / "report.json", {"name": data.name, "source": data.source, **facts})
    for note in listing.notes:
        run.say(f"note: {note}")
    run.say(_summary(facts, run.job.place / "report.json"))


def _model_name(whole: "Config") -> str:
    return whole.model.name if whole.model.kind in ("timm", "torchvision") else whole.model.kind


def _summary(facts: dict[str, Any], report: Path) -> str:
    """``1797 images in 10 classes; 3 dropped, 1 ignored (see data/ingest/report.json)``."""
    text = f"{counted(facts['kept'], 'image')} in {counted(len(facts['classes']), 'class')}"
    left_out = [f"{len(facts[key])} {key}" for key in ("dropped", "ignored") if facts[key]]
    return f"{text}; {', '.join(left_out)} (see {report})" if left_out else text


if __name__ == "__main__":
    run_stage("ingest", build, __doc__)
