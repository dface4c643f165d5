"""Butterfly transforms: O(n log n) channel fusion for convolutional networks (Alizadeh-Vahid et al., CVPR 2020)."""

from typing import TYPE_CHECKING

from bft_nas.butterfly.plan import ButterflyPlan, factorize
from bft_nas.lazy import lazy_exports

if TYPE_CHECKING:
    from bft_nas.butterfly.replace import replace_pointwise
    from bft_nas.butterfly.transform import ButterflyTransform

__all__ = ["ButterflyPlan", "ButterflyTransform", "factorize", "replace_pointwise"]

__getattr__ = lazy_exports(
    __name__,
    {"ButterflyTransform": "bft_nas.butterfly.transform", "replace_pointwise": "bft_nas.butterfly.replace"},
)
