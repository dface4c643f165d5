"""Put butterfly transforms into a network that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bft_nas.butterfly.transform import ButterflyTransform


def replace_pointwise(
    model: nn.Module,
    radix: int = 4,
    where: Callable[[str, nn.Conv2d], bool] = lambda name, conv: True,
) -> tuple[str, ...]:
    """Replace, in place, the dense 1x1 convolutions of ``model`` by freshly initialised butterfly transforms.

    Stride, bias, device, dtype and training mode are kept. Grouped and padded 1x1 convolutions, and subclasses of
    ``nn.Conv2d``, which may do more than convolve, stay as they are. A convolution used in two places is replaced
    by one transform used in both.

    Args:
        model: any module that contains 1x1 convolutions; the module itself cannot be one.
        radix: the largest stage of the transforms.
        where: told the dotted name and the convolution, says whether to replace it; all by default.

    Returns:
        The dotted names of the replaced modules.

    Raises:
        ValueError: ``model`` is itself a convolution, which nothing holds.

    >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 64, 1), nn.Conv2d(64, 64, 1))
    >>> replace_pointwise(net, radix=8, where=lambda name, conv: conv.in_channels >= 32)
    ('2',)
    """
    if type(model) is nn.Conv2d:
        raise ValueError(
            "replace_pointwise needs a module that contains convolutions, not a convolution itself"
        )
    transforms: dict[nn.Conv2d, ButterflyTransform] = {}
    replaced = []
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if type(module) is nn.Conv2d and _is_pointwise(module) and where(name, module):
            if module not in transforms:
                transforms[module] = _transform_like(module, radix)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, transforms[module])
            replaced.append(name)
    return tuple(replaced)


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (1, 1)
        and conv.groups == 1
        and conv.padding in ((0, 0), "valid", "same")
        and conv.stride[0] == conv.stride[1]
    )


def _transform_like(conv: nn.Conv2d, radix: int) -> ButterflyTransform:
    transform = ButterflyTransform(
        conv.in_channels, conv.out_channels, radix, stride=conv.stride[0], bias=conv.bias is not None
    )
    return transform.to(conv.weight.device, conv.weight.dtype).train(conv.training)
