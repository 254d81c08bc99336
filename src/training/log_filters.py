"""Messages of Lightning that nobody needs to read, silenced one by one, each with its reason."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# How messages of Lightning's logger begin.
REPORTED_ELSEWHERE = (
    "GPU available:",  # device and precision are part of what a stage reports
    "TPU available:",
    "Using bfloat16 Automatic Mixed Precision",
    "LOCAL_RANK:",
    "`Trainer.fit` stopped:",  # the stage reports the end of a training
    "Restoring states from the checkpoint path",  # the progress bar starts where the training resumes
    "Restored all states from the checkpoint",
    "You have turned on `Trainer(detect_anomaly=True)`",  # somebody has asked for it
    "💡 Tip:",  # advertisements for other products
    "[rank: 0] Received SIGTERM:",  # the command that was interrupted says so, once for all its processes
)
# Patterns of warnings.
HARMLESS = (
    # Workers would be slower: a batch is one slice of a memory-mapped array.
    r"The '\w+' does not have many workers",
    # An epoch of fewer than 50 steps; logging is per epoch here.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Lightning's own use of torch's trees, which it has yet to move to the new spelling.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # Frozen layers stay in evaluation mode.
    r"Found \d+ module\(s\) in eval mode at the start of training",
    # The CSV of a training that was killed is written again, with all epochs.
    r"Experiment logs directory .* exists and is not empty",
)
LOGGERS = (
    "pytorch_lightning.utilities.rank_zero",
    "pytorch_lightning.accelerators.cuda",
    "pytorch_lightning.trainer.connectors.signal_connector",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence the messages above while a training runs."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(_is_news)
    try:
        with warnings.catch_warnings():
            for pattern in HARMLESS:
                warnings.filterwarnings("ignore", message=pattern)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(REPORTED_ELSEWHERE)
