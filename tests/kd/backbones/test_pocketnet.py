"""PocketNet's cells: the published genotype, edge by edge."""

import pytest
import torch
from torch import nn

from kd.backbones.pocketnet import PocketNet

NORMAL = [("dw3", 0), ("dw1", 1), ("dw3", 2), ("dw5", 0), ("dw3", 3), ("dw3", 0), ("dw3", 4), ("skip", 0)]
REDUCTION = [("dw3", 1), ("dw7", 0), ("skip", 2), ("dw5", 1), ("max3", 0), ("skip", 2), ("max3", 0), ("max3", 1)]


def described(edge):
    if isinstance(edge, nn.Identity):
        return "skip"
    pools = [layer for layer in edge if isinstance(layer, nn.MaxPool2d)]
    return f"max{pools[0].kernel_size}" if pools else f"dw{edge[1].kernel_size[0]}"


@pytest.fixture(scope="module")
def small():
    with torch.device("meta"):
        return PocketNet(112, 128, channels=16, cells=18)


def test_every_edge_is_that_of_the_genotype(small):
    for number, cell in enumerate(small.cells):
        expected = REDUCTION if number in (6, 12, 17) else NORMAL
        sources = [source for node in cell.nodes for _, source in node]
        assert [(described(edge), source) for edge, source in zip(cell.edges, sources, strict=True)] == expected


def test_a_cell_is_the_sum_of_two_edges_a_node_and_its_nodes_side_by_side():
    torch.manual_seed(0)
    cell = PocketNet(32, 16, channels=4, cells=4).eval().cells[0]
    before = last = torch.randn(1, 16, 16, 16)
    states = [cell.before(before), cell.last(last)]
    edges = list(cell.edges)
    for node in range(4):
        (_, first), (_, second) = cell.nodes[node]
        states.append(edges[2 * node](states[first]) + edges[2 * node + 1](states[second]))
    assert torch.equal(cell(before, last), torch.cat(states[2:], dim=1))


def test_maps_halve_at_a_third_at_two_thirds_and_at_the_end(small):
    shapes = []
    hooks = [
        cell.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:]))) for cell in small.cells
    ]
    small(torch.zeros(2, 3, 112, 112, device="meta"))
    for hook in hooks:
        hook.remove()
    assert shapes == [(64, 56, 56)] * 6 + [(128, 28, 28)] * 6 + [(256, 14, 14)] * 5 + [(512, 7, 7)]
