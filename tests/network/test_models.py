"""Networks by name, with what timm's users expect of a model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bft_nas import create_model
from bft_nas.network import REFERENCES


@pytest.mark.parametrize("name", REFERENCES)
def test_features_head_and_classifier_are_what_timm_calls_them(name: str) -> None:
    model = create_model(name, num_classes=7, in_chans=1, width=0.25).eval()
    images = torch.randn(2, 1, 64, 64)
    features = model.forward_features(images)
    side = 16 if name == "resnet_8" else 2  # which is made for small images
    assert features.shape == (2, model.num_features, side, side)
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert torch.equal(model.forward_head(features), model(images))
    assert model(images).shape == (2, 7)
    assert model.get_classifier() is model.get_submodule(model.default_cfg["classifier"])
    assert isinstance(model.get_submodule(model.default_cfg["first_conv"]), nn.Conv2d)


def test_the_classifier_is_replaced_and_taken_off() -> None:
    model = create_model("mobilenet_v3_small", num_classes=7).double().eval()
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    model.reset_classifier(3)
    assert (model.num_classes, model(images).shape) == (3, (1, 3))
    model.reset_classifier(0)
    assert torch.equal(model(images), model.forward_head(model.forward_features(images), pre_logits=True))
    headless = create_model("mobilenet_v2", num_classes=0).eval()
    assert headless(torch.zeros(1, 3, 32, 32)).shape == (1, 1280)


def test_the_configuration_says_how_images_are_prepared() -> None:
    config = create_model("mobilenet_v1", num_classes=5, width=0.25, resolution=128).default_cfg
    assert config["input_size"] == (3, 128, 128)
    assert config["num_classes"] == 5
    assert config["architecture"] == "mobilenet_v1"
    assert len(config["mean"]) == len(config["std"]) == 3
    assert len(create_model("mobilenet_v1", in_chans=4, width=0.25).default_cfg["mean"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg"}, "no reference 'vgg'; expected mobilenet_v1, mobilenet_v2, "),
        ({"name": "resnet50"}, "no reference 'resnet50'; expected resnet_8$"),
        ({"name": "mobilenet_v3"}, "'mobilenet_v3'; expected mobilenet_v3_small or mobilenet_v3_large or "),
        ({"name": "mobilenet_v1", "in_chans": 0}, "in_channels: expected a whole number of 1 or more, got 0"),
        (
            {"name": "mobilenet_v1", "num_classes": -1},
            "classes: expected a whole number of 1 or more, got -1",
        ),
        ({"name": "mobilenet_v1", "width": 0}, "width: expected a multiplier above 0, got 0"),
    ],
)
def test_what_describes_no_network_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)  # type: ignore[arg-type]
