"""The comparison networks as modules, by name, as timm's users know it."""

from __future__ import annotations

from bft_nas.network import build
from bft_nas.network.modules import Network
from bft_nas.network.references import reference


def create_model(
    name: str, num_classes: int = 1000, in_chans: int = 3, *, width: float = 1.0, resolution: int = 224
) -> Network:
    """A freshly initialised comparison network with the attributes of a timm model.

    Args:
        name: one of `bft_nas.network.REFERENCES`, such as ``mobilenet_v3_small`` or ``mobilenet_v1_bft``.
        num_classes: outputs; 0 leaves the classifier out.
        in_chans: channels of an image.
        width: multiplier of all widths.
        resolution: what ``default_cfg`` says of the images' size; the network takes any.

    Raises ValueError when there is no network of that name, or a number describes none.

    >>> import torch
    >>> model = create_model("fbnet_c", num_classes=10, in_chans=1)
    >>> model.forward_features(torch.zeros(1, 1, 64, 64)).shape, model.num_features
    (torch.Size([1, 1984, 2, 2]), 1984)
    """
    model = build(
        reference(name, width=width, resolution=resolution, classes=num_classes or 1, in_channels=in_chans)
    )
    if num_classes == 0:
        model.reset_classifier(0)
    return model
