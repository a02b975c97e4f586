"""Checks that files and folders are written whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vqcodec.storage import replacing_file, replacing_files, write_file


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode, "a new file has the permissions that any new file has"
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    with replacing_file(tmp_path / "link") as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640 and (tmp_path / "link").is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "link", "plain"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("can_be_nameless", [True, False])
def test_a_kill_leaves_the_old_file(tmp_path: Path, can_be_nameless: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, sys; from vqcodec.storage import replacing_file\n"
        "if sys.argv[2:]: vars(os).pop('O_TMPFILE', None)\n"
        "with replacing_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(bytes(10_000_000)); file.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path, *([] if can_be_nameless else ["named"])], check=False).returncode == -9
    assert path.read_bytes() == b"old"
    left = [entry.name[:9] for entry in tmp_path.iterdir() if entry != path]
    assert left == [] if can_be_nameless and hasattr(os, "O_TMPFILE") else left == [".vqcodec-"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="the system has no files without a name")
def test_a_new_file_has_no_other_name_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[Path] = []
    link = os.link

    def noted(source: Path, target: Path, **options: int) -> None:
        link(source, target, **options)
        names.extend(tmp_path.iterdir())

    monkeypatch.setattr(os, "link", noted)
    write_file(tmp_path / "file", b"new", replace=False)
    assert names == [tmp_path / "file"] and names[0].read_bytes() == b"new"


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("can_be_nameless", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool, can_be_nameless: bool
) -> None:
    if not can_be_nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    link = os.link

    def refuse(source: Path, target: Path, **options: int) -> None:
        if "src_dir_fd" not in options:
            raise PermissionError(errno.EPERM, "no hard links here")
        link(source, target, **options)

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"
    write_file(path, b"first", replace=False)
    with pytest.raises(FileExistsError), replacing_file(path.with_name("other"), replace=False) as file:
        file.write(b"late")
        path.with_name("other").write_bytes(b"early")
    assert path.read_bytes() == b"first" and path.with_name("other").read_bytes() == b"early"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "other"]


def test_torch_is_not_needed() -> None:
    code = "import sys, vqcodec.storage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_all_files_or_none(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "folder"
    if exists:
        folder.mkdir()
        for name in ("index", "part-1", "part-2", "kept"):
            (folder / name).write_text("old")
    before = {path.name for path in folder.iterdir()} if exists else set()
    with pytest.raises(OSError, match="disk full"), replacing_files(folder, last="index", stale=("part-*",)) as new:
        (new / "index").write_text("new")
        raise OSError("disk full")
    assert folder.exists() == exists and {path.name for path in folder.glob("*")} == before
    assert all(path.read_text() == "old" for path in folder.glob("*"))
    with replacing_files(folder, last="index", stale=("part-*",)) as new:
        for name in ("index", "part-1"):
            (new / name).write_text("new")
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == {"index": "new", "part-1": "new", **({"kept": "old"} if exists else {})}
    assert list(tmp_path.iterdir()) == [folder]


def test_files_that_are_replaced_are_there_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("part-0", "part-1", "part-2"):
        (tmp_path / name).write_text("old")

    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path, last="part-0", stale=("part-*",)) as new:
        for name in ("part-0", "part-1"):
            (new / name).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"part-1": "old"}


def test_the_last_file_moves_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-index").write_text("old")
    moved: list[str] = []
    replace = os.replace

    def recorded(source: Path, target: Path) -> None:
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", recorded)
    with replacing_files(tmp_path, last="a-index") as new:
        for name in ("a-index", "b", "c"):
            (new / name).write_text("new")
    assert sorted(moved[:2]) == ["b", "c"] and moved[2:] == ["a-index"]


def test_files_that_appear_meanwhile_are_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), replacing_files(tmp_path / "out", last="b", replace=False) as new:
        for name in ("a", "b"):
            (new / name).write_bytes(b"new")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "b").write_bytes(b"other")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").iterdir()] == [("b", b"other")]
