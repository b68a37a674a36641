"""Ctrl-C ends a program as it should, whatever networks it has opened and let go of before."""

import signal
import subprocess
import sys
from pathlib import Path

from faces.weights.graph import Graph

PROGRAM = """
import os, signal, sys
from pathlib import Path
from faces.runtime import load_network

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
one, other = (load_network(Path(sys.argv[1])) for _ in range(2))
del one
del other
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_networks_closed_in_any_order_leave_signals_alone(tmp_path: Path) -> None:
    """OpenVINO exchanges the stack that signal handlers run on; see `faces.runtime`."""
    graph = Graph("doubles")
    network = tmp_path / "doubles.onnx"
    network.write_bytes(graph.model({"input": ["n", 4]}, {"output": (graph.node("Add", "input", "input"), ["n", 4])}))
    command = [sys.executable, "-c", PROGRAM, str(network)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode != -signal.SIGSEGV
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
