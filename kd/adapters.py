"""A head that carries a frozen Embedder's rows into another Space, and the ONNX file that is both."""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx.parser
import torch
from onnx import compose, helper, numpy_helper
from torch import Tensor, nn

from faces.embed import Vectors
from kd.head import unit

_SHRINKAGES: Final = tuple(10 ** (quarter / 4) for quarter in range(-16, 5))  # in mean variances of the rows
_TINY: Final = 1e-9


class Adapter(nn.Module):
    """(n, inputs) rows of any length -> (n, dim): a linear map, and two layers that learn what it misses.

    The linear map begins as the ridge regression of `fit_linear`; the two layers begin as nothing added to it.
    hidden: units between the two layers; 0 for the linear map alone. drop: the share of them that a step leaves out.
    """

    def __init__(self, inputs: int, dim: int, hidden: int, drop: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, dim)
        self.widen = nn.Linear(inputs, hidden) if hidden else None
        self.drop = nn.Dropout(drop)
        self.project = nn.Linear(hidden, dim) if hidden else None
        if self.project is not None:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    @staticmethod
    def of(weights: Mapping[str, Tensor]) -> "Adapter":
        """The adapter that has this state, to be used and not trained on. Raises KeyError for another network's."""
        dim, inputs = weights["linear.weight"].shape
        hidden = len(weights["widen.bias"]) if "widen.bias" in weights else 0
        adapter = Adapter(inputs, dim, hidden, drop=0.0)
        adapter.load_state_dict(dict(weights))
        return adapter.eval()

    def forward(self, rows: Tensor) -> Tensor:
        rows = unit(rows)
        answer: Tensor = self.linear(rows)
        if self.widen is None or self.project is None:
            return answer
        correction: Tensor = self.project(self.drop(self.widen(rows).relu()))
        return answer + correction

    @torch.no_grad()
    def fit_linear(self, pairs: Iterable[tuple[Vectors, Vectors]]) -> None:
        """Set the linear map to the ridge regression of targets (n, dim) on unit rows (n, inputs), part by part."""
        weight, bias = ridge(pairs)
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)


def ridge(pairs: Iterable[tuple[Vectors, Vectors]]) -> tuple[Tensor, Tensor]:
    """Least squares with an intercept, shrunk: parts of (n, inputs), (n, dim) -> weight (dim, inputs), bias (dim,).

    How much it is shrunk is chosen by generalised cross-validation: a few hundred photos need a hundred times as much
    as some thousands. In float64, from sums, so that no more than one part is in memory.
    Source: Golub, Heath, Wahba, Generalized cross-validation as a method for choosing a good ridge parameter (1979).
    """
    sums = [_moments(torch.from_numpy(rows).double(), torch.from_numpy(targets).double()) for rows, targets in pairs]
    count, x, y, xx, xy, yy = (torch.stack(parts).sum(dim=0) for parts in zip(*sums, strict=True))
    x, y = x / count, y / count
    values, directions = torch.linalg.eigh(xx / count - torch.outer(x, x))
    crossed = directions.T @ (xy / count - torch.outer(x, y))
    shrinkages = torch.tensor(_SHRINKAGES, dtype=torch.float64) * values.mean()
    errors = [_expected_error(s, values.clamp(min=0), crossed, yy / count - y @ y, count) for s in shrinkages]
    shrinkage = shrinkages[int(torch.stack(errors).argmin())]
    weight = (directions @ (crossed / (values + shrinkage)[:, None])).T
    return weight.float(), (y - weight @ x).float()


def _moments(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return torch.tensor(float(len(x))), x.sum(dim=0), y.sum(dim=0), x.T @ x, x.T @ y, y.square().sum()


def _expected_error(shrinkage: Tensor, values: Tensor, crossed: Tensor, variance: Tensor, count: Tensor) -> Tensor:
    """Of a row that was not learnt from: the mean square of the residuals over the squared share of free ones.

    values: (inputs,) eigenvalues of the rows' covariance. crossed: (inputs, dim), covariance of their directions with
    the targets. variance: (), of the targets, summed over dim.
    """
    kept = values / (values + shrinkage)
    explained = crossed.square().sum(dim=1) * (2 - kept) / (values + shrinkage)
    free = 1 - (1 + kept.sum()) / count
    return (variance - explained.sum()) / free.clamp(min=_TINY).square()


def joined(embedder: bytes, adapter: Adapter) -> bytes:
    """One ONNX model of an embedder's, with one output (n, inputs), and the adapter on what it answers.

    The head is written in the embedder's own version of the operators, all of which have been the same since version 7:
    to convert the embedder to another could change it.
    """
    base = onnx.load_model_from_string(embedder)
    (answer,) = base.graph.output
    graph = onnx.parser.parse_graph(_graph(adapter))
    for name, values in adapter.state_dict().items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values.numpy()), name.replace(".", "_")))
    head = helper.make_model(graph, opset_imports=base.opset_import, ir_version=base.ir_version)
    model = compose.merge_models(base, head, io_map=[(answer.name, "rows")], prefix2="adapter_")
    del model.opset_import[len(base.opset_import) :]  # each was named twice
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _graph(adapter: Adapter) -> str:
    """What `Adapter.forward` does, in the textual syntax of ONNX."""
    dim, inputs = adapter.linear.weight.shape
    straight, bent = "Gemm <transB = 1> (unit, linear_weight, linear_bias)", ""
    if adapter.widen is not None:
        bent = f"""
            straight = {straight}
            wide = Gemm <transB = 1> (unit, widen_weight, widen_bias)
            open = Relu (wide)
            correction = Gemm <transB = 1> (open, project_weight, project_bias)"""
        straight = "Add (straight, correction)"
    return f"""
        adapter (float[n, {inputs}] rows) => (float[n, {dim}] embedding) {{
            unit = LpNormalization <axis = 1, p = 2> (rows){bent}
            embedding = {straight}
        }}"""
