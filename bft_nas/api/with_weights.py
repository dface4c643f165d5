"""A network with the weights that it was trained to, as a module and as an export: what runs and trainings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bft_nas.data.dataset import is_of_arrays
from bft_nas.record.run_file import DataFacts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bft_nas.export.write import ExportReport, Watcher
    from bft_nas.network import Architecture


@dataclass(frozen=True)
class WithWeights:
    """A network, its trained state dict, and what it was trained on."""

    architecture: Architecture
    state: Mapping[str, Tensor]
    data: DataFacts
    source: str
    """As ``--data`` names the images."""

    def model(self) -> nn.Module:
        """A module in eval mode, for images normalised by the mean and standard deviation in its ``default_cfg``."""
        from bft_nas.export.checks import trained

        return trained(
            self.architecture,
            self.state,
            normalisation=(self.data.mean, self.data.std),
            arrays=is_of_arrays(self.source),
        )

    def export(self, folder: Path, *, runtimes: Sequence[str], int8: bool, watcher: Watcher) -> ExportReport:
        """See `bft_nas.Run.export`; what is wrong with the folder is said before the images for int8 are read."""
        from bft_nas.api.evaluation import calibration_images
        from bft_nas.export.place import check_free
        from bft_nas.export.runtimes import checked_int8
        from bft_nas.export.write import export

        calibration = None
        if int8:
            checked_int8(runtimes)
            check_free(folder)
            calibration = calibration_images(self.source, self.architecture.resolution, self.data)
        return export(
            self.architecture,
            self.state,
            folder,
            classes=self.data.classes,
            normalisation=(self.data.mean, self.data.std),
            arrays=is_of_arrays(self.source),
            runtimes=runtimes,
            calibration=calibration,
            watcher=watcher,
        )
