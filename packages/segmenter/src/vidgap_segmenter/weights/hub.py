"""Weights folders on the Hugging Face Hub: `user/name` wherever a folder is expected.

Networks have `from_pretrained`, `save_pretrained` and `push_to_hub`, as with huggingface_hub's
`PyTorchModelHubMixin`. That is not used: it must be a base class when the network is defined, which
the package would then need, and its config.json holds constructor arguments alone, no classes.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from vidgap_segmenter.weights.folder import CONFIG_FILE, WEIGHTS_FILE

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
FILES = [CONFIG_FILE, WEIGHTS_FILE, "head.safetensors", "provenance.json", "README.md"]
"""The files of a repository that are sent and fetched."""

OTHERS = ["model-*.safetensors", f"{WEIGHTS_FILE}.index.json", "preprocessor_config.json"]
"""Further files of other projects' repositories."""

OLD_WEIGHTS = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
"""Fetched where a repository has no safetensors."""

FILE_ENDINGS = (".bin", ".pkl", ".pt", ".pth", ".safetensors")
"""Of what is a file, not a repository."""

REMEDY = "pip install 'vidgap-segmenter[hub]'"


def resolve(source: str | Path, *, revision: str | None = None) -> Path:
    """Return a folder: `source` itself, or the one of a repository `user/name`, fetched if needed.

    What exists is never looked for elsewhere. What was fetched before is found offline. Weights of
    other projects are fetched too, for `vidgap_segmenter.convert`.

    Args:
        source: a folder, or a repository's name.
        revision: a commit, tag or branch of the repository; None: its newest state.

    Raises:
        FileNotFoundError: there is no such folder, and no such repository could be fetched.
    """
    folder = Path(source)
    named = REPOSITORY.fullmatch(str(source)) and folder.suffix not in FILE_ENDINGS
    if folder.exists() or not named:
        return folder
    if importlib.util.find_spec("huggingface_hub") is None:
        raise FileNotFoundError(
            f"no folder {source}; to look for it on the Hugging Face Hub: {REMEDY}"
        )
    try:
        fetched = _fetched(str(source), revision, FILES + OTHERS)
        if not [*fetched.glob("model*.safetensors")]:
            fetched = _fetched(str(source), revision, FILES + OTHERS + OLD_WEIGHTS)
    except Exception as error:  # the library's own, of HTTP, and OSError
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise FileNotFoundError(
            f"no folder {source}, and the Hugging Face Hub gave none ({reason})"
        ) from error
    return fetched


def push_to_hub(folder: str | Path, repo_id: str, *, private: bool = False) -> str:
    """Send a weights folder to a repository of the Hub, made where it is missing; return its URL.

    Args:
        folder: as `save_pretrained` writes it.
        repo_id: `user/name`.
        private: whether a repository that is made is private.

    Raises:
        ImportError: huggingface_hub is not installed.
        ValueError: the folder holds no weights, or the name is not `user/name`.
    """
    folder = Path(folder)
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is not a weights folder ({missing[0]} is missing)")
    if not REPOSITORY.fullmatch(repo_id):
        raise ValueError(f"repo_id must be user/name, got {repo_id!r}")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ImportError(f"huggingface_hub is not installed: {REMEDY}")
    hub = _hub()
    url = hub.create_repo(repo_id, private=private, exist_ok=True)
    hub.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=FILES)
    return str(url)


def _fetched(repository: str, revision: str | None, patterns: list[str]) -> Path:
    return Path(_hub().snapshot_download(repository, revision=revision, allow_patterns=patterns))


def _hub() -> ModuleType:
    import huggingface_hub

    return huggingface_hub
