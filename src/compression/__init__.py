"""Smaller and faster models: pruning, distillation, quantization and export."""

import logging

# torchao's kernels for GPUs do not load beside a CPU build of torch, and it warns once per file when it is
# imported; torch warns that it already knows torchao's types.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)
