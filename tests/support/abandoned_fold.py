"""A process with a fold of very many epochs in a worker process: ``abandoned.py FOLDER``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from src.cross_validation.worker import run_fold_in_worker
from src.search.engine.worker_pool import WorkerPool
from tests.cross_validation.test_fold import fold_task

if __name__ == "__main__":
    with WorkerPool(1, retries=0) as pool:
        pool.submit(0, run_fold_in_worker, fold_task(Path(sys.argv[1]), train={"epochs": 2000}))
        pool.collect()
