"""Checks that a run resumes exactly, and only from a checkpoint of its own kind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError, TrainingError
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from vqcodec.training.data import PhotoSet, find_sources, load_photos
from vqcodec.training.export import export_autoencoder
from vqcodec.training.loop import train
from vqcodec.training.metrics import AutoencoderValidation
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.run_log import METRICS_NAME


def test_a_checkpoint_of_another_kind_of_run(photos: PhotoSet, tmp_path: Path) -> None:
    trainer = AutoencoderTrainer(RECIPE, photos, None, CPU)
    state = trainer.state()
    save_checkpoint(tmp_path / CHECKPOINT_NAME, {**state, "clock": None, "recipe": {**state["recipe"], "lpips_weight": 1.0}})
    with pytest.raises(ModelError, match=rf"{CHECKPOINT_NAME}: not a checkpoint of such a run \(unknown key 'lpips_weight'"):
        run_training(trainer, tmp_path, resume=True)


def test_resumed_run_equals_an_uninterrupted_one(photos: PhotoSet, tmp_path: Path) -> None:
    whole = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "whole")
    run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", max_steps=7)
    with (tmp_path / "cut" / METRICS_NAME).open("a") as log:
        log.write('{"kind": "step", "step": 9}\n{"kind": "st')
    resumed = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", resume=True)
    for one, other in ((whole.network, resumed.network), (whole.averaged, resumed.averaged)):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    rows = [json.loads(line) for line in (tmp_path / "cut" / METRICS_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [6, 7, 12]
    with pytest.raises(ModelError, match="holds a run already"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "cut")
    with pytest.raises(ModelError, match="no checkpoint"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "new", resume=True)


class TimedTrainer(AutoencoderTrainer):
    """A trainer whose steps take a second, and its validations two, of a clock of its own."""

    seconds = 0.0
    positions: list[float]

    def now(self) -> float:
        return self.seconds

    def advance(self) -> None:
        self.positions = [*getattr(self, "positions", []), self.position]
        super().advance()
        self.seconds += 1

    def validate(self) -> AutoencoderValidation | None:
        self.seconds += 0 if self.held_out is None else 2
        return super().validate()


def test_a_run_by_the_clock_goes_through_its_schedules(photos: PhotoSet, tmp_path: Path) -> None:
    trainer = TimedTrainer(RECIPE, photos, photos, CPU)
    train(trainer, tmp_path, minutes=0.5, now=trainer.now)
    assert trainer.step == 25 and trainer.seconds == 29, "a second for each step, two for each validation, and a margin"
    assert trainer.positions[0] == 0, "the first step takes nothing of the schedules"
    assert trainer.positions[1:17] == pytest.approx([RECIPE.steps * second / 29 for second in range(16)])
    assert trainer.positions[17:] == pytest.approx([RECIPE.steps * second / 26.4 for second in range(18, 26)])
    rows = [json.loads(line) for line in (tmp_path / METRICS_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "step"] == [12, 18, 25], "each third of the schedule"
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [17, 25]
    resumed = TimedTrainer(RECIPE, photos, photos, CPU)
    assert train(resumed, tmp_path, resume=True, now=resumed.now) == 0, "its time is over"
    with pytest.raises(ModelError, match=r"is of another run than is to be resumed: minutes was 0.5 and is 2$"):
        train(TimedTrainer(RECIPE, photos, photos, CPU), tmp_path, resume=True, minutes=2)
    with pytest.raises(ModelError, match="goes by the clock, so its steps cannot be limited"):
        train(TimedTrainer(RECIPE, photos, photos, CPU), tmp_path, resume=True, max_steps=5)
    shorter = TimedTrainer(replace(RECIPE, lr_schedule=((0, 0.0), (2, 1.0), (4, 0.0))), photos, photos, CPU)
    assert train(shorter, tmp_path, resume=True, minutes=1, accept_changes=True, now=shorter.now) > 20
    assert set(shorter.positions) == {4.0}, "the run had been beyond the end of the other schedules"


def test_a_run_by_the_clock_that_was_cut(photos: PhotoSet, tmp_path: Path) -> None:
    trainer = TimedTrainer(RECIPE, photos, None, CPU)

    def cut(_: object) -> None:
        if trainer.step > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(trainer, tmp_path, minutes=0.5, now=trainer.now, on_step=cut)
    resumed = TimedTrainer(RECIPE, photos, None, CPU)
    assert train(resumed, tmp_path, resume=True, now=resumed.now) == 30 - 15, "the checkpoint was written after 15 steps"
    assert resumed.positions[0] == trainer.positions[14] and resumed.step == 30


def test_accumulated_batches_are_one_step(photos: PhotoSet, tmp_path: Path) -> None:
    class Whole(AutoencoderTrainer):
        """Takes as one batch what the other run takes as two."""

        def batch_loss(self, number: int) -> torch.Tensor:
            return (super().batch_loss(2 * number) + super().batch_loss(2 * number + 1)) / 2

    recipe = replace(RECIPE, accumulated_batches=2)
    parts, whole = AutoencoderTrainer(recipe, photos, None, CPU), Whole(RECIPE, photos, None, CPU)
    train(parts, tmp_path / "parts", max_steps=3)
    train(whole, tmp_path / "whole", max_steps=3)
    assert parts.step == 3
    for one, other in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_black_photos_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{number}.png")
    photos = load_photos(find_sources(tmp_path), tmp_path / "cache")
    with pytest.raises(ModelError, match="16 crops of the photos are too much alike"):
        train(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "run")
    assert not (tmp_path / "run" / CHECKPOINT_NAME).exists()


@pytest.mark.parametrize("bad_step", [1, 8])
def test_a_run_stops_at_a_loss_that_is_not_finite(photos: PhotoSet, tmp_path: Path, bad_step: int) -> None:
    class Diverging(AutoencoderTrainer):
        def batch_loss(self, number: int) -> torch.Tensor:
            return super().batch_loss(number) * (torch.inf if number + 1 == bad_step else 1.0)

    with pytest.raises(TrainingError, match=f"of step {bad_step} is not finite, so the run has ended; ") as caught:
        train(Diverging(RECIPE, photos, photos, CPU), tmp_path)
    if bad_step == 1:
        assert "no checkpoint had been written" in str(caught.value) and not (tmp_path / CHECKPOINT_NAME).exists()
    else:
        state = load_checkpoint(tmp_path / CHECKPOINT_NAME, CPU)
        assert state["step"] == 5 and all(value.isfinite().all() for value in state["averaged"].values())
        rows = [json.loads(line) for line in (tmp_path / METRICS_NAME).read_text().splitlines()]
        assert [row["step"] for row in rows] == [4, 6]


def test_a_run_is_resumed_as_it_was_unless_changes_are_accepted(photos: PhotoSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(AutoencoderTrainer(RECIPE, photos, None, CPU), run, max_steps=5)
    before = (run / CHECKPOINT_NAME).read_bytes()
    moved = replace(photos, digest="that of another folder")
    assert train(AutoencoderTrainer(RECIPE, moved, None, CPU), run, resume=True, max_steps=5) == 0

    fewer = replace(photos, sizes=replace(photos.sizes, heights=photos.sizes.heights[:2], widths=photos.sizes.widths[:2]))
    slower = replace(RECIPE, lr_adamw=0.0005, lr_schedule=((0, 0.0), (9, 0.5)))

    def changed(recipe: AutoencoderRecipe = slower) -> AutoencoderTrainer:
        return AutoencoderTrainer(recipe, fewer, None, CPU)

    differences = (
        r"lr_adamw was 0\.001 and is 0\.0005; lr_schedule was \[\[0, 0\.0\], \[2, 1\.0\], .* and is \[\[0, 0\.0\], \[9, 0\.5\]\]; "
        r"photos was 3 photos \(\w{12}\) and is 2 photos \(\w{12}\)$"
    )
    with pytest.raises(ModelError, match=f"is of another run than is to be resumed: {differences}"):
        train(changed(), run, resume=True)
    wider = replace(RECIPE, network=replace(RECIPE.network, channels=16))
    for options, message in (({}, r"\[network\] channels was 8 and is 16"), ({"accept_changes": True}, "network differs from the recipe")):
        with pytest.raises(ModelError, match=message):
            train(changed(wider), run, resume=True, **options)
    with pytest.raises(ModelError, match="the checkpoint's optimizer is muon, the recipe's adamw"):
        train(changed(replace(RECIPE, optimizer="adamw")), run, resume=True, accept_changes=True)
    assert (run / CHECKPOINT_NAME).read_bytes() == before
    assert train(changed(), run, resume=True, accept_changes=True) == 4
    changes = load_checkpoint(run / CHECKPOINT_NAME, CPU)["changes"]
    assert len(changes) == 3 and changes[0] == "after step 5: lr_adamw was 0.001 and is 0.0005"
    export_autoencoder(run, tmp_path / "tiny", photos, number=1001, num_crops=4)
    assert (tmp_path / "tiny/recipe.toml").read_text().startswith(f"# {changes[0]}\n")
    assert AutoencoderRecipe.read(tmp_path / "tiny/recipe.toml") == slower
