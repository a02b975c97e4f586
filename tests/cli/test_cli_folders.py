"""Checks commands that convert folders: what is taken, what is left alone, what is kept, and several processes."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.cli.conftest import run, save_pictures
from tests.cli.dying import DeadlyEncoding, PoorEncoding, ThreadCount
from tests.conftest import lock, make_picture
from vqcodec.cli import conversions, workers
from vqcodec.cli.files import OutputError
from vqcodec.cli.jobs import Job
from vqcodec.errors import VqcodecError

QUICK = ("-q", 1, "--no-layers", "--coder", "raw")
"""Options by which pictures are encoded soonest."""


def names(folder: Path) -> list[str]:
    """Returns the paths of all files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Makes a folder with pictures in folders, and with what must be left alone."""
    root = save_pictures(tmp_path / "in", 2, 30, 20)
    save_pictures(root / "a", 1, 40, 20)
    save_pictures(root / "a" / "b", 2, 30, 20)
    save_pictures(root / ".hidden", 1, 30, 20)
    save_pictures(root / "__MACOSX", 1, 30, 20)
    for name in ("._0.png", "Thumbs.db", ".DS_Store", ".vqcodec-0123.png", "notes.txt", "LICENSE", "a/scan.heif2", "a/list.txt"):
        (root / name).write_bytes(b"no picture")
    (root / "circle").symlink_to(root)
    os.mkfifo(root / "fifo.png")
    return root


def test_a_folder_is_taken_without_those_below(tree: Path, small_model: str) -> None:
    result = run("encode", tree, "-o", tree.parent / "out", "-m", small_model, *QUICK)
    assert result.exit_code == 0 and names(tree.parent / "out") == ["0.vq", "1.vq"]
    told = (
        "vqcodec: left alone: 3 folders (--recursive looks into folders), 1 file without a suffix, 1 file ending in .txt, "
        "1 entry that is no file"
    )
    assert result.stderr.splitlines()[0] == told
    last = result.stderr.splitlines()[-1]
    assert last.startswith("2 of 2 files converted; ") and " bpp; " in last


def test_a_tree_is_mirrored(tree: Path, small_model: str) -> None:
    out, back = tree.parent / "out", tree.parent / "back"
    result = run("encode", "-r", tree, "-o", out, "-m", small_model, *QUICK)
    assert result.exit_code == 0 and names(out) == ["0.vq", "1.vq", "a/0.vq", "a/b/0.vq", "a/b/1.vq"]
    assert "left alone: 2 hidden folders and links to folders, 2 files ending in .txt, " in result.stderr
    assert run("decode", "--recursive", out, "-o", back, "--quiet").stderr == ""
    assert names(back) == ["0.png", "1.png", "a/0.png", "a/b/0.png", "a/b/1.png"]


def test_trees_of_several_folders_stay_apart(tree: Path, small_model: str) -> None:
    save_pictures(tree.parent / "more", 1, 30, 20)
    out = tree.parent / "out"
    result = run("encode", "-r", tree, tree / "a" / "..", tree.parent / "more", tree / "a", "-o", out, "-m", small_model, *QUICK)
    assert result.exit_code == 0
    assert names(out) == ["in/0.vq", "in/1.vq", "in/a/0.vq", "in/a/b/0.vq", "in/a/b/1.vq", "more/0.vq"]
    assert run("encode", tree, tree.parent / "more", "-o", tree.parent / "flat", "-m", small_model, *QUICK).exit_code == 1
    assert names(tree.parent / "flat") == ["0.vq", "1.vq"]


def test_an_empty_folder_among_others_is_told(picture: Path, small_model: str) -> None:
    (empty := picture.parent / "empty").mkdir()
    result = run("encode", empty, picture, "-m", small_model, "-o", picture.parent / "out", *QUICK)
    assert result.exit_code == 0 and f"{empty}: holds no file to convert" in result.stderr
    (empty / "below").mkdir()
    result = run("encode", empty, "-m", small_model)
    assert result.exit_code == 1 and "no file ending in" in result.stderr and "1 folder (--recursive" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_finished_outputs_are_kept(tmp_path: Path, small_model: str) -> None:
    source, out = save_pictures(tmp_path / "in", 3, 30, 20), tmp_path / "out"
    command = ("encode", source, "-o", out, "-m", small_model, *QUICK, "--json")
    assert run(*command).exit_code == 0
    before = contents(out)
    times = (out / "0.vq").stat().st_mtime_ns
    (out / "1.vq").unlink()
    result = run(*command, "--skip-existing")
    *rows, last = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 0 and {Path(row["output"]).name for row in rows if row.get("kept")} == {"0.vq", "2.vq"}
    assert (last["summary"]["done"], last["summary"]["kept"]) == (1, 2)
    assert contents(out) == before and (out / "0.vq").stat().st_mtime_ns == times

    (out / "2.vq").write_bytes(before["2.vq"][:-1])
    result = run(*command, "--skip-existing")
    assert result.exit_code == 1 and f"{out / '2.vq'}: exists already, but is not whole: " in result.stderr
    assert (out / "2.vq").read_bytes() == before["2.vq"][:-1]
    assert run(*command, "--skip-existing", "--force").exit_code == 0
    assert contents(out) == before and (out / "0.vq").stat().st_mtime_ns == times


def test_finished_pictures_are_kept(tmp_path: Path, small_model: str) -> None:
    source = save_pictures(tmp_path / "in", 2, 30, 20)
    assert run("encode", source, "-m", small_model, *QUICK).exit_code == 0
    assert run("decode", source, "-o", tmp_path / "out").exit_code == 0
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "1.png").write_bytes(before["1.png"][:80])
    result = run("decode", source, "-o", tmp_path / "out", "--skip-existing", "--force")
    assert result.exit_code == 0 and contents(tmp_path / "out") == before
    assert result.stderr.splitlines()[-1].startswith("1 of 2 files converted; 1 kept, which were finished before; ")
    itself = run("decode", tmp_path / "out" / "0.png", "-o", tmp_path / "out" / "0.png", "--skip-existing")
    assert itself.exit_code == 1 and "is the input itself" in itself.stderr
    single = ("decode", source / "0.vq", "-o", tmp_path / "out" / "0.png", "--skip-existing")
    assert run(*single).stderr == f"{source / '0.vq'} -> {tmp_path / 'out' / '0.png'}  kept, which was finished before\n"
    assert run(*single, "--quiet").stderr == ""


def test_an_output_that_cannot_be_looked_at_stops_no_others(tmp_path: Path, small_model: str) -> None:
    source = save_pictures(tmp_path / "in", 2, 30, 20)
    assert run("encode", source, "-o", tmp_path / "coded", "-m", small_model, *QUICK).exit_code == 0
    (tmp_path / "coded" / "0.vq").rename(long := tmp_path / "coded" / f"{252 * 'x'}.vq")
    result = run("decode", tmp_path / "coded", "-o", tmp_path, "--skip-existing")
    assert result.exit_code == 1 and (tmp_path / "1.png").exists()
    told = f"vqcodec: {tmp_path / long.stem}.png: cannot be written: file name too long"
    assert told in result.stderr.splitlines() and result.stderr.endswith("vqcodec: 1 of 2 files failed\n")


def test_an_input_that_cannot_be_looked_at_is_told_of_itself(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save_pictures(tmp_path / "in", 1, 30, 20), tmp_path / "out"
    command = ("encode", source / "0.png", "-o", out / "0.vq", "-m", small_model, *QUICK)
    assert run(*command).exit_code == 0
    (source / "0.png").unlink()
    lock(source, monkeypatch)
    assert run(*command, "--skip-existing").stderr.endswith("  kept, which was finished before\n")
    assert run(*command, "--force").stderr == f"vqcodec: {source / '0.png'}: no such file\n"


@pytest.mark.parametrize("failing", ["read_picture", "write_bytes"])
def test_an_error_of_the_system_stops_no_others(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    source, out = save_pictures(tmp_path / "in", 3, 30, 20), tmp_path / "out"
    work = getattr(conversions, failing)

    def fail_once(path: Path, *args: object, **options: object) -> object:
        if path.stem == "1":
            raise OSError(errno.EIO, "Input/output error", path)
        return work(path, *args, **options)

    monkeypatch.setattr(conversions, failing, fail_once)
    result = run("encode", source, "-o", out, "-m", small_model, *QUICK)
    assert result.exit_code == 1 and names(out) == ["0.vq", "2.vq"]
    failed = {"read_picture": source / "1.png", "write_bytes": out / "1.vq"}[failing]
    told = f"vqcodec: {source / '1.png'}: cannot be converted: {failed}: input/output error"
    assert told in result.stderr.splitlines() and result.stderr.endswith("vqcodec: 1 of 3 files failed\n")


def test_an_output_that_another_run_has_just_finished_is_kept(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save_pictures(tmp_path / "in", 2, 30, 20), tmp_path / "out"
    command = ("encode", source, "-o", out, "-m", small_model, *QUICK)
    assert run(*command).exit_code == 0
    before = contents(out)
    for name in before:
        (out / name).unlink()

    def late(path: Path, data: bytes, *, force: bool) -> None:
        path.write_bytes(before[path.name])
        write(path, data, force=force)

    from vqcodec.cli import conversions

    write = conversions.write_bytes
    monkeypatch.setattr(conversions, "write_bytes", late)
    result = run(*command, "--skip-existing")
    assert result.exit_code == 0 and "0 of 2 files converted; 2 kept" in result.stderr
    for name in before:
        (out / name).unlink()
    result = run(*command)
    assert result.exit_code == 1 and result.stderr.count("exists already; use --force") == 2


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_an_output_that_cannot_be_written_is_told_first(picture: Path, small_model: str, command: str) -> None:
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes())
    (picture.parent / "file").write_text("no folder")
    result = run(command, picture, other, "-o", picture.parent / "file" / "out")
    assert result.exit_code == 1 and result.stderr.endswith("is no folder\n") and len(result.stderr.splitlines()) == 1


def test_a_format_that_cannot_hold_a_picture_is_told_before_it_is_decoded(
    tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(make_picture(16400, 1)).save(tmp_path / "wide.png")
    assert run("encode", tmp_path / "wide.png", "-m", small_model, *QUICK).exit_code == 0
    monkeypatch.delattr("vqcodec.cli.conversions.decode_codes")
    result = run("decode", tmp_path / "wide.vq", "-o", tmp_path / "wide.webp")
    assert result.exit_code == 1 and "a .webp file cannot hold 16400x1 pixels, sides of 16383 at most" in result.stderr


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(tree: Path, small_model: str) -> None:
    (tree / "0.bmp").write_bytes((tree / "0.png").read_bytes())
    (tree / "broken.jpg").write_text("no picture")
    one, two = tree.parent / "one", tree.parent / "two"
    results = [
        run("encode", "-r", tree, "-o", out, "-m", small_model, *QUICK, "--json", *extra)
        for out, extra in ((one, []), (two, ["--jobs", 2]))
    ]
    assert [result.exit_code for result in results] == [1, 1] and contents(one) == contents(two) and len(contents(one)) == 5
    summaries = [json.loads(result.stdout.splitlines()[-1])["summary"] for result in results]
    assert summaries[0] | {"seconds": 0} == summaries[1] | {"seconds": 0} and summaries[1]["failed"] == 2
    assert run("decode", "-r", two, "-o", tree.parent / "back", "--jobs", 2).exit_code == 0
    assert len(names(tree.parent / "back")) == 5


def test_several_threads_write_the_same_pictures(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with one output stops no other."""
    source = save_pictures(tmp_path / "in", 4, 30, 20)
    run("encode", source, "-o", tmp_path / "coded", "-m", small_model, *QUICK)
    written = {}
    for threads in (1, 3):
        monkeypatch.setattr("vqcodec.cli.conversions.num_own_threads", lambda threads=threads: threads)
        assert run("decode", tmp_path / "coded", "-o", tmp_path / str(threads)).exit_code == 0
        written[threads] = contents(tmp_path / str(threads))
    assert len(written[1]) == 4 and written[1] == written[3]
    real_write, meeting = conversions.write_bytes, threading.Barrier(3, timeout=60)

    def write(target: Path, data: bytes, *, force: bool) -> None:
        if target.name == "2.png":
            raise OutputError(f"{target}: cannot be written: no room")
        meeting.wait()  # all of the others are at work at a time
        real_write(target, data, force=force)

    monkeypatch.setattr(conversions, "write_bytes", write)
    result = run("decode", tmp_path / "coded", "-o", tmp_path / "out")
    assert result.exit_code == 1 and f"{tmp_path / 'out' / '2.png'}: cannot be written: no room" in result.stderr
    assert names(tmp_path / "out") == ["0.png", "1.png", "3.png"]


@pytest.mark.slow
def test_a_process_with_too_little_memory_ends_the_run(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / name, tmp_path / f"{name}.out") for name in "ab"]
    with pytest.raises(VqcodecError, match="out of memory in one of the processes; fewer --jobs need less"):
        list(workers.convert_in_processes(jobs, PoorEncoding(), processes=2))  # type: ignore[arg-type]


@pytest.mark.slow
def test_each_process_has_its_share_of_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_threads", lambda: 6)
    jobs = [Job(tmp_path / name, tmp_path / f"{name}.out") for name in "ab"]
    assert len(list(workers.convert_in_processes(jobs, ThreadCount(), processes=2))) == 2  # type: ignore[arg-type]
    assert [job.target.read_text() for job in jobs] == ["3", "3"]


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_file_with_it(tmp_path: Path) -> None:
    sources = ["a", "b", "deadly", "c", "d", "e", "f"]
    jobs = [Job(tmp_path / name, tmp_path / f"{name}.out") for name in sources]
    told = list(workers.convert_in_processes(jobs, DeadlyEncoding(), processes=2))  # type: ignore[arg-type]
    assert [(notice.job.source.name, notice.text) for notice in told if isinstance(notice, workers.Notice)] == [("c", "long")]
    results = [result for result in told if isinstance(result, workers.FileResult)]
    failed = [result for result in results if result.error]
    assert sorted(result.job.source.name for result in results) == sorted(sources)
    assert [result.job.source.name for result in failed] == ["deadly"]
    assert str(failed[0].error).endswith("deadly: the process that converted it was ended by signal 9; memory may have run out")
    assert names(tmp_path) == sorted(f"{name}.out" for name in sources if name != "deadly")


@pytest.mark.slow
def test_of_the_inputs_of_one_output_one_is_converted_after_a_death(tmp_path: Path) -> None:
    targets = {"deadly": "x", "c": "x", "a": "y", "b": "y", "d": "z"}
    jobs = [Job(tmp_path / source, tmp_path / f"{target}.out") for source, target in targets.items()]
    told = list(workers.convert_in_processes(jobs, DeadlyEncoding(), processes=1))  # type: ignore[arg-type]
    results = {result.job.source.name: str(result.error or "") for result in told if isinstance(result, workers.FileResult)}
    assert sorted(name for name, error in results.items() if error) == ["b", "deadly"] and len(results) == len(jobs)
    assert f"b: its output {tmp_path / 'y.out'} is also that of {tmp_path / 'a'}; convert it separately" in results["b"]
    assert contents(tmp_path) == {"x.out": b"c", "y.out": b"a", "z.out": b"d"}


def test_a_model_that_cannot_be_loaded_is_told_once(tmp_path: Path, small_model: str, models_root: Path) -> None:
    source = save_pictures(tmp_path / "in", 3, 30, 20)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((models_root / small_model / "config.json").read_bytes())
    (broken / "weights.safetensors").write_bytes(b"other weights")
    for extra in ([], ["--jobs", 2]):
        result = run("encode", source, "-o", tmp_path / "out", "-m", broken, *extra)
        assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith(f"vqcodec: {broken}")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("is_torch", [False, True])
def test_small_memory_is_told_by_file(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, is_torch: bool) -> None:
    for name in "ab":
        Image.fromarray(make_picture(30, 20)).save(tmp_path / f"{name}.png")

    def fail(*_: object, **__: object) -> None:
        if is_torch:
            torch.empty(1 << 50, dtype=torch.uint8)
        raise MemoryError

    monkeypatch.setattr("vqcodec.cli.conversions.encode_controlled" if is_torch else "vqcodec.cli.conversions.read_picture", fail)
    result = run("encode", tmp_path, "-m", small_model)
    assert result.exit_code == 1 and f"{tmp_path / 'a.png'}: cannot be converted: not enough memory\n" in result.stderr
