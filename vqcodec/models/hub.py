"""Model folders from the Hugging Face Hub, by the extra `hub`."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from vqcodec.errors import ModelError
from vqcodec.models.weights import MAX_WEIGHTS_BYTES

SCHEME = "hf://"
"""How the name of a model on the hub begins."""


def fetch(name: str, folder: Path, files: Sequence[str]) -> str:
    """Downloads the files of a model, by the commit that the name stands for now.

    Args:
        name: hf://owner/name@revision, where the revision is a tag or a whole commit; a branch is none, since it moves.
        folder: folder that is written to.
        files: names of the files that are wanted, of which some may be absent.

    Returns:
        The commit, 40 hexadecimal digits.

    Raises:
        ModelError: The name is malformed or stands for nothing, a file is too large, the hub does not answer, or the extra is missing.
    """
    parts = re.fullmatch(re.escape(SCHEME) + r"([\w.-]+/[\w.-]+)@([\w./+-]+)", name)
    if parts is None:
        raise ModelError(f"{name}: expected {SCHEME}owner/name@revision, with a tag or a commit as the revision")
    repository, revision = parts.groups()
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ModelError(f"{name}: needs huggingface_hub, of the extra [hub]: pip install 'vqcodec[hub]'") from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what fails is told at the end, and not at each try
    try:
        api = HfApi()
        found = api.model_info(repository, revision=revision, files_metadata=True)
        if found.sha is None:
            raise ModelError(f"{name}: the hub tells no commit")
        if revision not in (found.sha, *(tag.name for tag in api.list_repo_refs(repository).tags)):
            raise ModelError(f"{name}: {revision} is no tag and no whole commit, expected one of these; it stands for {found.sha} now")
        for file in found.siblings or ():
            if file.rfilename in files and (file.size or 0) > MAX_WEIGHTS_BYTES:
                raise ModelError(f"{name}: {file.rfilename} has {file.size} bytes, expected {MAX_WEIGHTS_BYTES} at most")
        api.snapshot_download(repository, revision=found.sha, local_dir=folder, allow_patterns=list(files))
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # the errors are those of whichever HTTP library the hub's uses
        told = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"{name}: cannot be fetched: {told}") from error
    return found.sha
