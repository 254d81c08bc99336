"""Read the images of data/raw/NAME, check them, and store them as one array.

    dvc repro ingest                                     with params.yaml, into data/ingest/
    python -m src.ingest data=image_folder data.name=NAME    by hand, into outputs/ingest/

Writes images.npy (uint8, images × channels × height × width), manifest.parquet (a line for each image)
and report.json (what was kept, dropped and ignored, and why). The digits take about 1 s, Fashion-MNIST
about 2 s, photographs about as long as decoding them alone on all cores; memory stays the same for any
number of images. The bytes of the result do not depend on the number of processes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.cpus import resolve_n_jobs
from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.serving.decoding import ImageFormat

ASIDES = {"dropped": "dropped", "ignored": "file(s) ignored"}


def build(config: "Config", run: StageRun) -> None:
    """Make the folder of the stage."""
    from src.core.progress import progress_bar
    from src.data.ingestion.ingest import CleaningPolicy, ingest, write_report
    from src.data.ingestion.sources import read_listing

    data = config.data
    run.say(f"Data set {data.name} ({data.source}), model {_model_name(run.job.loaded.unrestricted())}")
    folder = Path("data/raw") / data.name
    listing = read_listing(folder, data.source)
    with progress_bar("Decoding", total=len(listing.items), show=run.progress) as advance:
        facts = ingest(
            folder,
            listing,
            _form(config),
            CleaningPolicy(data.on_corrupt, data.on_conflict),
            run.folder,
            workers=resolve_n_jobs(config.machine.num_workers, threads=1),
            advance=advance,
        )
    write_report(run.folder / "report.json", {"name": data.name, "source": data.source, **facts})
    run.say(_summary(facts))
    run.log(metrics={"data/images": facts["kept"], "data/dropped": len(facts["dropped"])})


def _form(config: "Config") -> "ImageFormat":
    from src.serving.decoding import ImageFormat

    height, width = config.data.image_size
    return ImageFormat(height, width, config.data.channels, config.data.resize_mode, config.data.max_pixels)


def _model_name(whole: "Config") -> str:
    return whole.model.name if whole.model.kind == "timm" else whole.model.kind


def _summary(facts: dict[str, Any]) -> str:
    """``1797 images in 10 classes; 3 dropped, 1 file ignored (report.json says which)``."""
    text = f"{facts['kept']} images in {len(facts['classes'])} classes"
    asides = [f"{len(facts[key])} {what}" for key, what in ASIDES.items() if facts[key]]
    return f"{text}; {', '.join(asides)} (report.json says which)" if asides else text


if __name__ == "__main__":
    run_stage("ingest", build, __doc__)
