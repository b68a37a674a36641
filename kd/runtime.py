"""The serving runtime, for networks that are no files yet."""

import tempfile
from pathlib import Path

from faces.runtime import Network, load_network


def open_network(onnx: bytes, *, threads: int | None = None) -> Network:
    """Open a serialised ONNX model as `faces.runtime.load_network` opens a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(onnx)
        return load_network(file, threads=threads)
