"""InceptionResnetV1 beside facenet-pytorch's own class, whose weights it must take."""

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from faces.errors import WeightsMissing
from faces.models import installed_file
from kd.backbones.inception import InceptionResnetV1


@pytest.fixture(scope="module")
def published():
    """The class from its source file alone: the package's own import asks for torchvision."""
    try:
        source = installed_file("facenet-pytorch", "inception_resnet_v1.py", "pip install --no-deps facenet-pytorch")
    except WeightsMissing as missing:
        pytest.skip(str(missing))
    pytest.importorskip("requests", reason="the published module imports it")
    spec = importlib.util.spec_from_file_location("published.inception_resnet_v1", source)
    module = importlib.util.module_from_spec(spec)
    download = ModuleType("published.utils.download")
    download.download_url_to_file = None
    with pytest.MonkeyPatch.context() as patch:
        for name in ("published", "published.utils"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, "published.utils.download", download)
        spec.loader.exec_module(module)
    return module.InceptionResnetV1().eval()


def test_names_and_shapes_are_the_published_ones(published):
    shapes = {name: values.shape for name, values in InceptionResnetV1().state_dict().items()}
    assert shapes == {name: values.shape for name, values in published.state_dict().items()}


def test_with_the_published_weights_it_answers_alike(published):
    torch.manual_seed(0)
    for values in published.buffers():
        if values.is_floating_point():
            values.uniform_(0.5, 1.5)
    network = InceptionResnetV1().eval()
    network.load_state_dict(published.state_dict())
    crops = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        found = torch.nn.functional.normalize(network(crops))
        assert torch.allclose(found, published(crops), atol=1e-5)
