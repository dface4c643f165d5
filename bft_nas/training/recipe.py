"""The recipe: how a network's weights are trained, as data. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["cosine"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """Optimiser, learning rates, augmentation and precision of a training.

    Learning rates follow the shape of a layer, so that neither width nor fusion decides how far a step of gradient
    descent moves a network (measured by ``benchmarks/fusion_fairness.py``):

    - A step on the classifier moves the logits by its learning rate times the squared norm of its input, which grows
      with its inputs: the step is divided by their number. Otherwise wide networks, as butterflies afford, overshoot.
    - A butterfly of n channels reaches only the directions of its own weights, a fraction of weights / n² of a dense
      layer's gradient: its learning rate is divided by that fraction. And it has no weight decay, which shrinks the
      product along a path by every edge.
    """

    optimiser: Optimiser = "sgd"
    """``sgd``: with momentum; see `nesterov`. ``adamw``: each weight's step has a size of its own, and no layer has
    a learning rate of its own."""
    learning_rate: float = 0.2
    butterfly_rate: float = 0.5
    """Learning rate of butterfly weights over that of all others, times the weights of a dense layer over theirs."""
    classifier_rate: float = 16.0
    """Learning rate of the classifier over that of all others, times the number of its inputs."""
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    """Of weights alone: norms, biases and butterflies have none."""
    schedule: Schedule = "cosine"
    """How the learning rate falls to zero once it is warm."""
    warmup: float = 0.15
    """Part of all steps over which the learning rate rises linearly."""
    label_smoothing: float = 0.05
    balance: bool = False
    """An epoch has as many images of one class as of another, drawn at random, instead of each image once."""
    flip: bool = True
    """Half of the images are mirrored."""
    shift: float = 1 / 14
    """Largest random shift, as a part of the image's side."""
    crop_area: float = 1.0
    """Least part of an image's area that a random crop leaves, of proportions from 3:4 to 4:3, and stretched to the
    whole; 1 crops nothing, and images are shifted instead."""
    rand_operations: int = 0
    """Of RandAugment (arXiv:1909.13719) on each image."""
    rand_strength: float = 0.3
    """Of these operations, 0 to 1; small networks are said to bear little."""
    jitter: float = 0.0
    """By how much brightness, contrast and saturation change at random, as a part of themselves."""
    erasing: float = 0.0
    """The part of all images of which a random rectangle, 2 to 20 percent of it, becomes the image's mean colour
    (arXiv:1708.04896)."""
    mixup: float = 0.0
    """Both parameters of the beta distribution of the part that an image keeps when it is blended with another one
    (arXiv:1710.09412). 0 blends none; small networks are said to be harmed by it."""
    cutmix: float = 0.0
    """The same of the part that it keeps when a rectangle of another one covers it (arXiv:1905.04899). Where there are
    both, each has half of the batches."""
    averaging: float = 0.0
    """Decay, each step, of the moving average of the weights that is validated beside them; 0 averages nothing."""
    accumulation: int = 1
    """Parts in which a batch goes through the network, one after another, where its whole does not fit into the memory;
    each part has the statistics of its own in a batch norm."""
    growth: float = 1.0
    """The part of the side of the images with which a training begins; it grows evenly to the whole, which the last
    quarter of the epochs has (progressive resolution, arXiv:2104.00298)."""
    patience: int = 0
    """Epochs without a better validation accuracy after which a training ends; 0 waits for the last one."""
    clip: float = 0.0
    """The largest norm of a gradient, all weights together; larger ones are shortened to it. 0 shortens none."""
    distillation: float = 0.0
    """Weight of a teacher's soft targets in the loss, beside that of the labels: 1 leaves these out
    (arXiv:1503.02531). 0 without a teacher."""
    temperature: float = 4.0
    """By which the logits of teacher and network are divided for it."""
    sync_norms: bool = False
    """Whether several processes normalise the whole batch together, as one process does, and not each its share."""
    zero_residuals: bool = True
    """Whether what is added to a skip begins as zero: the last norm of each such branch has no scale, and a deep
    network learns at first as fast as a shallow one (arXiv:1706.02677, section 5.1)."""
    precision: Precision = "float32"
    """``bfloat16``: what torch's autocast computes in it."""
    compiled: bool = False
    """Whether `torch.compile` makes the training step, instead of the kernels of this package."""
