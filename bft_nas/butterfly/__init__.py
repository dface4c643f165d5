"""Butterfly transforms: O(n log n) channel fusion for convolutional networks (Alizadeh-Vahid et al., CVPR 2020)."""

from typing import TYPE_CHECKING

from bft_nas.butterfly.plan import ButterflyPlan, factorize
from bft_nas.core.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.butterfly.dispatch import default_form, dispatch_with
    from bft_nas.butterfly.folding import Frozen, freeze
    from bft_nas.butterfly.replace import replace_pointwise
    from bft_nas.butterfly.transform import ButterflyTransform

__all__ = [
    "ButterflyPlan",
    "ButterflyTransform",
    "Frozen",
    "default_form",
    "dispatch_with",
    "factorize",
    "freeze",
    "replace_pointwise",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "ButterflyTransform": "bft_nas.butterfly.transform",
        "Frozen": "bft_nas.butterfly.folding",
        "default_form": "bft_nas.butterfly.dispatch",
        "dispatch_with": "bft_nas.butterfly.dispatch",
        "freeze": "bft_nas.butterfly.folding",
        "replace_pointwise": "bft_nas.butterfly.replace",
    },
)
