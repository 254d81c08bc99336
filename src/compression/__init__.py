"""Smaller and faster models: pruning, distillation, quantization, export, and how they are timed."""

import logging

# torchao's kernels for GPUs do not load beside a torch for CPUs, which it says file by file when it is
# imported; and torch says of torchao's own types that it knows them already.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)
