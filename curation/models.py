"""Load a causal LM or a tokenizer; choose the device; tell weights apart by their content.

The only module that touches the hub. Weights are read from safetensors alone (nothing is unpickled) and a model's own
code runs only where the user ticked `trust_remote_code`. A base in 4 bits is QLoRA's (Dettmers et al. 2023, arXiv
2305.14314): NormalFloat, its constants quantised once more, products in bfloat16. Left out: models split over devices.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import ModelConfig
from curation.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

SHIPPED = Path(__file__).parents[1] / "assets"
DEMO_MODEL = "winnow-tiny"  # a name and not a path, so that a demo project survives a moved installation

_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "4-bit": 0.52}  # the last: with its constants, linear layers
_DOWNLOADED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]
_HASHED = {".safetensors", ".json", ".txt", ".model", ".jinja", ".py"}
_NOT_HASHED = re.compile(r"^(trainer_state|training_args|optimizer|scheduler|README|generation_config)")


def locate(name: str, revision: str = "", *, trust_remote_code: bool = False) -> Path:
    """Return the folder that holds the model `name`: a folder, the demo's own model, or downloaded from the hub.

    Raises
    ------
    ModelError
        If it is missing, gated, unreachable, or has no safetensors weights.
    """
    folder = SHIPPED / name if name == DEMO_MODEL else Path(name).expanduser()
    if not folder.is_dir():
        if is_path(name):
            raise ModelError(f"no model folder at {name}; give a folder in the standard format or a hub id")
        folder = _download(name, revision, trust_remote_code)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} has no config.json; give a folder in the standard format (as save_pretrained writes)")
    if not any(folder.glob("*.safetensors")):
        found = ", ".join(sorted(p.name for p in folder.glob("*.bin"))) or "no weights"
        raise ModelError(
            f"{name} has {found} but no safetensors file; pickled weights can run code and are not read, "
            "so convert it with save_pretrained or choose a revision with safetensors"
        )
    return folder


def is_path(name: str) -> bool:
    """Whether a model is named by a place on this machine, and not by its id on the hub."""
    folder = Path(name).expanduser()
    return folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or folder.exists()


def _download(name: str, revision: str, trust_remote_code: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    patterns = [*_DOWNLOADED, *(["*.py"] if trust_remote_code else [])]
    page = f"https://huggingface.co/{name}"
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except errors.GatedRepoError as error:
        raise ModelError(
            f"model {name} is gated; accept its terms at {page} and log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"model {name} has no revision {revision!r}; see {page} for those it has") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"model {name} is neither a folder here nor a public model at {page}; check the name, "
            "or log in with `hf auth login` if it is private"
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(f"{name!r} is neither a folder here nor a hub id (like owner/name)") from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"model {name} is not on this machine and the hub can't be reached; "
            "go online once to download it, or give the folder of a local copy"
        ) from error


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file, remembered for the process while its size and time stay the same."""
    resolved = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", resolved.name):  # the hub's cache names large files by their SHA-256
        return resolved.name
    status = resolved.stat()
    return _file_hash(resolved, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 (time and size are the memory's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(name: str, revision: str = "") -> str:
    """SHA-256 (hex) over a model's weights, config and tokenizer files: equal for equal content, wherever it lies.

    Parameters
    ----------
    name : str
        Folder or hub id of a causal LM or embedder.
    revision : str
        Hub revision; empty means the newest.
    """
    folder = locate(name, revision)
    files = [*folder.glob("*"), *folder.glob("[0-9]_*/*")]  # the second: sentence-transformers' module folders
    hashed = {
        p.relative_to(folder).as_posix(): file_hash(p)
        for p in files
        if p.is_file() and p.suffix in _HASHED and not _NOT_HASHED.match(p.name)
    }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def changed(name: str) -> float:
    """Return when a file of a model's folder last changed (seconds since 1970); 0 of the hub's, told by revision."""
    folder = SHIPPED / name if name == DEMO_MODEL else Path(name).expanduser()
    return max((p.stat().st_mtime for p in folder.glob("*") if p.is_file()), default=0.0)


def device(config: ModelConfig) -> str:
    """Return ``"cuda"`` or ``"cpu"``: what the config asks for, or what there is when it says auto."""
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is cuda but torch sees no GPU; choose device auto or cpu")
    return config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def gains_from_bfloat16(where: str) -> bool:
    """Whether the processor, or the GPU, multiplies bfloat16 matrices by instructions of its own."""
    import torch

    if where == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def context_length(config: ModelConfig) -> int:
    """Longest sequence in tokens that is fed: `max_length`, or what the model's positions allow if that is less."""
    described = _described(config)
    described = described.get("text_config", described)
    limit = described.get("max_position_embeddings") or described.get("n_positions") or config.max_length
    return min(config.max_length, int(limit))


def _described(config: ModelConfig) -> dict[str, Any]:
    folder = locate(config.name, config.revision, trust_remote_code=config.trust_remote_code)
    try:
        described: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"config.json of {config.name} is not JSON ({error}); download the model again") from error
    return described


def parameter_count(config: ModelConfig) -> int:
    """Count the stored weights from the safetensors headers, without loading them."""
    folder = locate(config.name, config.revision, trust_remote_code=config.trust_remote_code)
    total = 0
    for path in folder.glob("*.safetensors"):
        for name, entry in _safetensors_header(path).items():
            if name != "__metadata__":
                size = 1
                for n in entry["shape"]:
                    size *= n
                total += size
    return total


def _safetensors_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size <= path.stat().st_size:
            raise ModelError(f"{path.name} of {path.parent.name} is damaged or cut off; download the model again")
        try:
            header: dict[str, Any] = json.loads(file.read(size))
        except ValueError as error:
            raise ModelError(
                f"{path.name} of {path.parent.name} is damaged or cut off; download the model again"
            ) from error
    return header


@dataclass(frozen=True)
class Memory:
    """Bytes that a use of a model needs at the least, and the sum in words."""

    needed: int
    available: int
    arithmetic: str


def memory_needed(config: ModelConfig, use: str = "features", *, adapter_parameters: int = 0) -> Memory:
    """Estimate the memory for a use: weights, and what training adds; activations are not in it.

    Parameters
    ----------
    config : ModelConfig
        The model.
    use : {"features", "lora", "full"}
        Forward (and backward to adapters), LoRA training, or training of every weight.
    adapter_parameters : int
        LoRA parameters, each with a float32 weight, gradient and two Adam moments.
    """
    n, width = parameter_count(config), _DTYPE_BYTES[config.dtype]
    needed = round(n * width) + adapter_parameters * 16
    words = f"{n / 1e6:,.0f} M weights × {width} bytes ({config.dtype})"
    if use == "full":
        needed += n * 12
        words += " + 12 bytes each for gradient and Adam's two moments"
    elif adapter_parameters:
        words += f" + {adapter_parameters / 1e6:,.0f} M LoRA weights × 16 bytes"
    return Memory(needed, memory_available(config), words)


def memory_available(config: ModelConfig) -> int:
    """Bytes that are free on the device where a model would run."""
    if device(config) == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def require_memory(config: ModelConfig, use: str = "features", *, adapter_parameters: int = 0) -> None:
    """Refuse, with the sum in words, a use of a model that can't fit in the memory now free."""
    memory = memory_needed(config, use, adapter_parameters=adapter_parameters)
    if memory.needed > memory.available:
        raise ModelError(
            f"{config.name} needs {memory.needed / 1e9:.1f} GB ({memory.arithmetic}) but "
            f"{memory.available / 1e9:.1f} GB are free; choose a smaller model, dtype bfloat16, or a larger machine"
        )


def load_tokenizer(config: ModelConfig) -> Any:
    """Load the model's tokenizer; one without a padding token pads with its end token."""
    from transformers import AutoTokenizer

    folder = locate(config.name, config.revision, trust_remote_code=config.trust_remote_code)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=config.trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"the tokenizer of {config.name} can't be loaded ({first_line(error)}); "
            "the model's folder must hold its tokenizer files"
        ) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of {config.name} has no end-of-sequence token; choose a causal LM's tokenizer")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(config: ModelConfig, adapter: Path | None = None) -> nn.Module:
    """Load a causal LM in evaluation mode on its device, with the LoRA adapter in folder `adapter` if given.

    Raises
    ------
    ModelError
        If it is missing, gated, unsafe, too large for the free memory, no causal LM, or the adapter does not fit it.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    folder = locate(config.name, config.revision, trust_remote_code=config.trust_remote_code)
    where = device(config)
    quantised = _four_bits(where) if config.dtype == "4-bit" else {}
    require_memory(config)
    quiet()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            **quantised,
            dtype=torch_dtype(config),
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(_why_not_loaded(config, error)) from error
    if report["missing_keys"]:
        raise ModelError(
            f"{config.name} lacks weights of a causal language model ({min(report['missing_keys'])}); "
            "choose a complete model whose architecture ends in ForCausalLM"
        )
    loaded: nn.Module = model if adapter is None else _with_adapter(model, adapter, config.name)
    return (loaded if quantised else loaded.to(where)).eval()


def torch_dtype(config: ModelConfig) -> torch.dtype:
    """Return the type of a model's weights, in 4 bits of those that are not quantised and of the products."""
    import torch

    found: torch.dtype = getattr(torch, "bfloat16" if config.dtype == "4-bit" else config.dtype)
    return found


def _four_bits(where: str) -> dict[str, Any]:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError("dtype 4-bit needs the extra that quantises; run: pip install 'winnow-curation[cuda]'")
    import torch
    from transformers import BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": how, "device_map": {"": where}}


def quiet() -> None:
    """Loading bars do not belong into a job's log."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _why_not_loaded(config: ModelConfig, error: Exception) -> str:
    reason = first_line(error)
    if "trust_remote_code" in str(error):
        return f"{config.name} brings its own Python code; tick trust_remote_code only if you trust its author"
    if "Unrecognized configuration class" in str(error):
        return f"{config.name} is not a causal language model; choose one whose architecture ends in ForCausalLM"
    return f"{config.name} can't be loaded ({reason}); check that the folder is complete and of a known architecture"


def _with_adapter(model: nn.Module, adapter: Path, name: str) -> nn.Module:
    from peft import PeftModel

    if not (adapter / "adapter_model.safetensors").is_file() or not (adapter / "adapter_config.json").is_file():
        raise ModelError(
            f"{adapter} is no LoRA adapter; expected adapter_config.json and adapter_model.safetensors in it"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT's own use of names that transformers renames
            loaded: nn.Module = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"adapter {adapter.name} does not fit {name} ({first_line(error)}); it was made on another model"
        ) from error
    return loaded


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
