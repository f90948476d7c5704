"""Make a trained model traceable: by the version of the code that made it, and a manifest with everything else."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import training
import whisperer
from training.card import DataCard
from training.dataset import Dataset
from training.outcome import TrainingOutcome
from whisperer.models import artifact
from whisperer.models.artifact import DataRange, Manifest


def code_version() -> str:
    """Return the release, and a hash of the sources that produce features and models."""
    found = hashlib.blake2b(digest_size=6)
    for package in (whisperer, training):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{importlib.metadata.version('user-whisperer')}+{found.hexdigest()}"


def manifest_for(
    folder: Path, outcome: TrainingOutcome, data: Dataset, card: DataCard, *, name: str, version: int, created_at: int
) -> Manifest:
    """Write the manifest of the files in ``folder``, and return it. Raises ArtifactError."""
    made = artifact.manifest_of(
        folder,
        name=name,
        version=version,
        kind=outcome.kind,
        created_at=created_at,
        data=DataRange(card.first, card.last + 1, card.n_rows),
        code_version=code_version(),
        features=data.names,
        feature_registry=data.registry,
        parameters={**outcome.parameters, "data_digest": data.digest},
        metrics={name: value for name, value in outcome.metrics.items() if value == value},
    )
    (folder / artifact.MANIFEST).write_bytes(artifact.encode(made))
    return made
