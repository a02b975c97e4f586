"""Checks models from a hub, by a server on this machine that answers as the Hugging Face Hub does."""

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vqcodec.errors import ModelError, WeightsMismatchError
from vqcodec.models import hub
from vqcodec.models.hub import fetch
from vqcodec.models.installing import MODEL_FILES, add_model
from vqcodec.models.registry import source_of, user_models_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A hub with one repository, `owner/tiny`, whose one commit has the tag v1 and the branch main."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        path = path.split("?", maxsplit=1)[0]
        api = "/api/models/owner/tiny"
        if path == f"{api}/refs":
            refs = {name: [{"name": of, "ref": of, "targetCommit": COMMIT}] for name, of in (("branches", "main"), ("tags", "v1"))}
            return 200, {"Content-Type": "application/json"}, json.dumps({**refs, "converts": []}).encode()
        if path in [f"{api}/revision/{name}" for name in ("v1", "main", COMMIT)]:
            rows = [{"rfilename": name, "size": len(data), "blobId": "0"} for name, data in self.files.items()]
            return 200, {"Content-Type": "application/json"}, json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": rows}).encode()
        if path.startswith(f"{api}/tree/{COMMIT}"):
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        found = re.fullmatch(rf"/owner/tiny/resolve/{COMMIT}/(.*)", path)
        if found and found[1] in self.files:
            data = self.files[found[1]]
            return 200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}, data
        code = "RepoNotFound" if "owner/tiny" not in path else "EntryNotFound" if found else "RevisionNotFound"
        return 404, {"X-Error-Code": code}, b""


def use_endpoint(monkeypatch: pytest.MonkeyPatch, huggingface_hub: ModuleType, endpoint: str) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", partial(huggingface_hub.HfApi, endpoint=endpoint))


@pytest.fixture
def files(models_root: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in (models_root / "small-test").iterdir()}
    return {**found, "README.md": b"# small-test\n", "training.jsonl": b"{}\n", "deep/config.json": b"{}"}


@pytest.fixture
def server(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub (extra `hub`) is not installed")
    answers = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, headers, body = answers.answer(self.path)
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        use_endpoint(monkeypatch, huggingface_hub, f"http://127.0.0.1:{listening.server_port}")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        yield answers
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_model_is_added_from_the_hub(server: Hub, revision: str) -> None:
    added = add_model(f"hf://owner/tiny@{revision}")
    assert added.is_new and added.config.folder == user_models_folder() / "small-test"
    source = source_of(added.config)
    assert source is not None and (source.name, source.commit) == (f"hf://owner/tiny@{revision}", COMMIT)
    assert {path.name for path in added.config.folder.iterdir()} == {"config.json", "weights.safetensors", "README.md", "source.json"}
    assert not any("training.jsonl" in path or "deep" in path for path in server.asked if "resolve" in path)


def test_weights_of_another_digest_leave_nothing(server: Hub) -> None:
    server.files["weights.safetensors"] = b"other"
    with pytest.raises(WeightsMismatchError, match=r"^hf://owner/tiny@v1/weights\.safetensors: sha256 is"):
        add_model("hf://owner/tiny@v1")
    assert list(user_models_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hf://owner/tiny@main", f"main is no tag and no whole commit, expected one of these; it stands for {COMMIT} now$"),
        ("hf://owner/tiny@v2", "cannot be fetched: "),
        ("hf://owner/absent@v1", "cannot be fetched: "),
        ("hf://owner/tiny", "expected hf://owner/name@revision"),
        ("hf://owner/tiny@", "expected hf://owner/name@revision"),
        ("hf://tiny@v1", "expected hf://owner/name@revision"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(server: Hub, name: str, told: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(name)}: .*{told}") as error:
        add_model(name)
    assert "\n" not in str(error.value)


def test_large_files_are_not_fetched(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_WEIGHTS_BYTES", 100)
    with pytest.raises(ModelError, match=r"weights\.safetensors has \d+ bytes, expected 100 at most"):
        fetch("hf://owner/tiny@v1", tmp_path / "to", [name for name in MODEL_FILES if name != "config.json"])
    assert not (tmp_path / "to").exists() and not any("resolve" in path for path in server.asked)


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub (extra `hub`) is not installed")
    use_endpoint(monkeypatch, huggingface_hub, "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"^hf://owner/tiny@v1: cannot be fetched: "):
        fetch("hf://owner/tiny@v1", tmp_path, MODEL_FILES)


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'vqcodec\[hub\]'"):
        fetch("hf://owner/tiny@v1", tmp_path, MODEL_FILES)
