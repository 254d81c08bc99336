"""What Lightning says that nobody needs to read, silenced line by line, each with its reason."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Starts of messages of Lightning's logger.
SAID_ELSEWHERE = (
    "GPU available:",  # device and precision are part of what a stage reports
    "TPU available:",
    "Using bfloat16 Automatic Mixed Precision",
    "LOCAL_RANK:",
    "`Trainer.fit` stopped:",  # the end of a training is reported by its stage
    "Restoring states from the checkpoint path",  # the progress bar starts where the training goes on
    "Restored all states from the checkpoint",
    "💡 Tip:",  # advertisements for other products
)
# Patterns of warnings.
HARMLESS = (
    # Workers would be slower: a batch is one slice of a memory-mapped array.
    r"The '\w+' does not have many workers",
    # An epoch of fewer than 50 steps; logging is per epoch here.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Lightning's own use of torch's trees, which it has yet to move to the new spelling.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)
LOGGERS = ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within: none of the above."""
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
    return not record.getMessage().startswith(SAID_ELSEWHERE)
