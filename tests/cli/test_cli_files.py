"""Checks which files commands read and write, and that nothing is overwritten unasked."""

import errno
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import encoded, run
from tests.conftest import lock, make_picture
from vqcodec.encoding import pictures as encoding
from vqcodec.format.container import read_container
from vqcodec.images.picture import Picture


def test_nothing_is_overwritten_without_force(picture: Path, small_model: str) -> None:
    target = picture.with_suffix(".vq")
    target.write_bytes(b"precious")
    result = run("encode", picture, "-m", small_model)
    assert result.exit_code == 1 and "--force" in result.stderr
    assert target.read_bytes() == b"precious"
    assert run("encode", picture, "-m", small_model, "--force").exit_code == 0
    result = run("decode", target)
    assert result.exit_code == 1 and f"{picture}: exists already" in result.stderr


def test_a_folder_is_no_file_to_write(picture: Path, tmp_path: Path, small_model: str) -> None:
    (tmp_path / "folder.png").mkdir()
    result = run("sample", "-m", small_model, "-n", 1, "--size", "8x8", "-o", tmp_path / "folder.png", "--force")
    assert result.exit_code == 1 and "folder.png: is a folder, expected the name of a file" in result.stderr
    (picture.with_suffix(".vq")).mkdir()
    result = run("encode", picture, "-m", small_model)
    assert result.exit_code == 1 and f"{picture.with_suffix('.vq')}: is a folder" in result.stderr


@pytest.mark.parametrize("name", ["other.png", "OTHER.JPG"])
def test_a_picture_is_never_overwritten_by_an_encoded_file(picture: Path, small_model: str, name: str) -> None:
    other = picture.with_name(name)
    Image.fromarray(make_picture(30, 20)).save(other)
    before = other.read_bytes()
    result = run("encode", picture, "-m", small_model, "-o", other, "--force")
    assert result.exit_code == 1 and "is named like a picture; encoded files end in .vq" in result.stderr
    assert other.read_bytes() == before


def test_input_is_never_overwritten(picture: Path, small_model: str) -> None:
    before = picture.read_bytes()
    result = run("encode", picture, "-m", small_model, "-o", picture, "--force")
    assert result.exit_code == 1 and "is the input itself" in result.stderr
    assert picture.read_bytes() == before


def test_an_overwritten_file_keeps_its_permissions(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    path.chmod(0o600)
    assert run("encode", picture, "-m", small_model, "--force").exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_keeps_being_one(picture: Path, small_model: str) -> None:
    target, link = picture.with_name("real.vq"), picture.with_name("link.vq")
    target.write_bytes(b"old")
    link.symlink_to(target)
    assert run("encode", picture, "-m", small_model, "-o", link, "--force").exit_code == 0
    assert link.is_symlink() and read_container(target.read_bytes()).header.width == 200


def test_failed_write_leaves_nothing(picture: Path, small_model: str) -> None:
    path = encoded(picture, small_model)
    before = set(picture.parent.iterdir())
    result = run("decode", path, "-o", picture.with_name("x.nosuchformat"))
    assert result.exit_code == 1 and f"{path}: cannot write a picture as" in result.stderr
    blocked = picture / "below-a-file.png"
    assert run("decode", path, "-o", blocked).exit_code == 1
    assert set(picture.parent.iterdir()) == before


def test_output_with_a_slash_is_a_folder(picture: Path, small_model: str) -> None:
    assert run("encode", picture, "-m", small_model, "-o", f"{picture.parent}/new/").exit_code == 0
    assert [path.name for path in (picture.parent / "new").iterdir()] == ["photo.vq"]
    assert run("decode", picture.parent / "new" / "photo.vq", "-o", f"{picture.parent}/back/").exit_code == 0
    assert [path.name for path in (picture.parent / "back").iterdir()] == ["photo.png"]


def test_several_inputs_need_a_folder(picture: Path, small_model: str) -> None:
    path, other = encoded(picture, small_model), picture.with_name("other.vq")
    other.write_bytes(path.read_bytes())
    for target in (picture, picture.with_name("new.png"), picture.with_name("new.VQ")):
        result = run("decode", path, other, "-o", target)
        assert result.exit_code == 1 and f"{target}: names a file, expected a folder" in result.stderr
    for inputs in ((path, other), (picture.parent,)):
        result = run("decode", *inputs, "-o", "-")
        assert result.exit_code == 1 and result.stderr.startswith("vqcodec: -: is standard output, which takes a single file; ")
    for name in ("new", "new.2026", "named.png/"):
        assert run("decode", path, other, "-o", f"{picture.parent}/{name}").exit_code == 0
        assert {file.name for file in (picture.parent / name).iterdir()} == {"photo.png", "other.png"}


def test_folder_with_a_bad_file(tmp_path: Path, small_model: str) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a", "c"):
        Image.fromarray(make_picture(30, 20)).save(source / f"{name}.png")
    (source / "b.jpg").write_text("no picture")
    (source / "notes.txt").write_text("left alone")
    result = run("encode", source, "-o", target, "-m", small_model, "--json")
    assert result.exit_code == 1
    *rows, last = (json.loads(line) for line in result.stdout.splitlines())
    assert {Path(row["output"]).name: "error" in row for row in rows} == {"a.vq": False, "b.vq": True, "c.vq": False}
    summary = last["summary"]
    assert (summary["files"], summary["done"], summary["kept"], summary["failed"]) == (3, 2, 0, 1)
    assert summary["source_bytes"] == sum((source / name).stat().st_size for name in ("a.png", "c.png"))
    assert summary["target_bytes"] == summary["num_bytes"] == sum(path.stat().st_size for path in target.iterdir())
    assert summary["bpp"] == pytest.approx(8 * summary["num_bytes"] / (2 * 30 * 20), abs=1e-6)
    assert "b.jpg: not a picture" in result.stderr and "1 of 3 files failed" in result.stderr
    assert sorted(path.name for path in target.iterdir()) == ["a.vq", "c.vq"]
    result = run("decode", target, "-o", tmp_path / "back")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a.png", "c.png"]


def test_second_input_for_the_same_output_is_reported_and_skipped(tmp_path: Path, small_model: str) -> None:
    for name in ("a.bmp", "a.png", "b.png"):
        Image.fromarray(make_picture(30, 20)).save(tmp_path / name)
    (tmp_path / "b.jpg").write_text("no picture, takes no name")
    (tmp_path / "c.png").symlink_to("c.png")
    result = run("encode", tmp_path, "-o", tmp_path / "out", "-m", small_model)
    assert result.exit_code == 1 and f"is also that of {tmp_path / 'a.bmp'}" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vq", "b.vq"]


def test_one_output_under_two_names_is_seen(tmp_path: Path, small_model: str) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(make_picture(30, 20)).save(tmp_path / folder / "a.png")
    (tmp_path / "x" / "a.vq").symlink_to(tmp_path / "y" / "a.vq")
    result = run("encode", tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", "-m", small_model, "--force")
    assert result.exit_code == 1 and "is also that of" in result.stderr and "1 of 2 files failed" in result.stderr


def test_an_input_named_twice_counts_once(picture: Path, small_model: str) -> None:
    again = picture.parent / "." / ".." / picture.parent.name / picture.name
    result = run("encode", picture, picture, again, "-m", small_model, "-o", picture.parent / "out", "--json")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1


def test_links_to_pictures_are_pictures(picture: Path, small_model: str) -> None:
    folder = picture.parent / "folder"
    folder.mkdir()
    picture.rename(folder / "a.png")
    (folder / "b.png").symlink_to("a.png")
    assert run("encode", folder, "-m", small_model).exit_code == 0
    assert (folder / "a.vq").read_bytes() == (folder / "b.vq").read_bytes()


def test_an_unreadable_folder_does_not_stop_the_others(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (locked := picture.parent / "locked").mkdir()

    scandir = os.scandir

    def without_locked(path: Path) -> object:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", without_locked)
    result = run("encode", locked, picture, "-m", small_model, "-o", picture.parent / "out")
    assert result.exit_code == 1 and (picture.parent / "out" / "photo.vq").exists()
    line, last = result.stderr.splitlines()[0], result.stderr.splitlines()[-1]
    assert line.startswith(f"vqcodec: {locked}: cannot be read: ") and "Errno" not in line and last == "vqcodec: 1 of 2 files failed"


def test_links_that_cannot_be_looked_at_stop_no_others(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (locked := picture.parent / "locked").mkdir()
    (locked / "link.png").symlink_to("elsewhere.png")
    lock(locked, monkeypatch)
    result = run("encode", locked, picture, "-m", small_model, "-o", picture.parent / "out")
    assert result.exit_code == 1 and f"vqcodec: {locked / 'link.png'}: no such file" in result.stderr
    assert (picture.parent / "out" / "photo.vq").exists() and result.stderr.endswith("vqcodec: 1 of 2 files failed\n")


def test_a_batch_that_memory_does_not_hold_is_converted_one_by_one(
    tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        Image.fromarray(make_picture(30 if name != "b" else 40, 20)).save(tmp_path / f"{name}.png")
    original = encoding.encode_pictures

    def small_memory(pictures: list[Picture], *args: object, **kwargs: object) -> list[encoding.EncodedFile]:
        if len(pictures) > 1 or pictures[0].pixels.shape[1] == 40:
            raise RuntimeError("not enough memory:\nyou tried")
        return original(pictures, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding, "encode_pictures", small_memory)
    result = run("encode", tmp_path, "-o", tmp_path / "out", "-m", small_model)
    assert result.exit_code == 1 and "b.png: cannot be converted: not enough memory\n" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vq", "c.vq"]
