"""The models on disk: there is the previous one or the new one, whole, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from Services.ComputationalNodes.CNN.Node.models import Model, Models, SkippedFiles
from Services.fractos.errors import DataLossError, FailedPreconditionError, InvalidArgumentError

MODEL = Model(
    classes=("Cat", "Dog"),
    width=128,
    height=128,
    validation_accuracy=0.98,
    validation_loss=0.1,
    training_pictures=80,
    validation_pictures=20,
    skipped=("Cat/7.jpg",),
    skipped_pictures=1,
    network="",
    skipped_by_reason=(SkippedFiles("empty", 1, ("Cat/7.jpg",)),),
)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """An empty folder of models, which does not exist yet."""
    return Models(tmp_path / "Models")


def publish(models: Models, name: str, weights: str, *figures: str) -> Model:
    with models.unfinished(name) as folder:
        (folder / "network").mkdir()
        (folder / "network" / "weights").write_text(weights)
        for figure in figures:
            (folder / figure).write_text(weights)
        return models.publish(name, folder / "network", MODEL, [folder / figure for figure in figures])


def weights(models: Models, name: str) -> str:
    model = models.find(name)
    assert model
    return (models.network(name, model) / "weights").read_text()


def test_none_at_first(models: Models) -> None:
    assert models.names() == []
    assert models.find("default") is None


def test_a_published_model_is_found(models: Models) -> None:
    published = publish(models, "default", "first")
    publish(models, "birds", "other")
    assert models.find("default") == published
    assert (published.classes, published.skipped) == (("Cat", "Dog"), ("Cat/7.jpg",))
    assert models.names() == ["birds", "default"]
    assert weights(models, "default") == "first"


def test_a_new_one_takes_the_place_of_the_previous(models: Models, tmp_path: Path) -> None:
    first = publish(models, "default", "first")
    assert publish(models, "default", "second") != first
    assert weights(models, "default") == "second"
    assert len(list((tmp_path / "Models/default").iterdir())) == 2


def test_a_description_is_read_once_and_again_when_another_process_has_changed_it(models: Models, tmp_path: Path) -> None:
    first = publish(models, "default", "first")
    known = models.find("default")
    assert known == first
    assert models.find("default") is known
    second = publish(Models(tmp_path / "Models"), "default", "second")
    assert models.find("default") == second
    description = tmp_path / "Models/default/model.json"
    description.write_text(description.read_text().replace("Dog", "Wolf"))
    changed = models.find("default")
    assert changed
    assert changed.classes == ("Cat", "Wolf")
    description.write_text("{")
    with pytest.raises(DataLossError):
        models.find("default")
    description.unlink()
    assert models.find("default") is None


def test_the_figures_are_those_of_the_model_that_is_there(models: Models) -> None:
    for weights in ("first", "second"):
        publish(models, "default", weights, "curves.png", "grid.png")
        figures = [Path(figure) for figure in models.figures("default")]
        assert {figure.name: figure.read_text() for figure in figures} == {"curves.png": weights, "grid.png": weights}
    publish(models, "default", "third")
    assert models.figures("default") == models.figures("another") == []


def test_a_model_of_before_reasons_were_kept_is_found(models: Models, tmp_path: Path) -> None:
    publish(models, "default", "first")
    description = tmp_path / "Models/default/model.json"
    known = json.loads(description.read_text())
    del known["skipped_by_reason"]
    description.write_text(json.dumps(known))
    model = models.find("default")
    assert model
    assert (model.skipped, model.skipped_by_reason) == (("Cat/7.jpg",), ())


def test_the_previous_one_stays_until_the_new_one_is_published(models: Models) -> None:
    publish(models, "default", "first")
    with models.unfinished("default") as folder:
        (folder / "network").mkdir()
        assert weights(models, "default") == "first"
        assert models.names() == ["default"]
    assert weights(models, "default") == "first"


def test_what_fails_leaves_nothing(models: Models, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), models.unfinished("default") as folder:
        (folder / "pictures").touch()
        raise RuntimeError
    assert [path.name for path in (tmp_path / "Models").iterdir()] == [".default.lock"]


def test_all_that_was_killed_is_swept_but_what_goes_on(models: Models, tmp_path: Path) -> None:
    with models.unfinished("default") as folder:
        (tmp_path / "Models/.birds-unfinished-x").mkdir()
        models.sweep_all()
        assert folder.exists()
    assert not list((tmp_path / "Models").glob("*unfinished*"))


@pytest.mark.parametrize("sweeping", [True, False])
def test_what_was_killed_is_swept(models: Models, tmp_path: Path, sweeping: bool) -> None:
    abandoned = tmp_path / "Models/.default-unfinished-x"
    of_another = tmp_path / "Models/.default-2-unfinished-y"
    for folder in (abandoned, of_another):
        folder.mkdir(parents=True)
        (folder / "pictures").touch()
    if sweeping:
        models.sweep("default")
    else:
        publish(models, "default", "first")
    assert not abandoned.exists()
    assert of_another.exists()


def test_a_model_folder_without_a_description_is_no_model(models: Models, tmp_path: Path) -> None:
    (tmp_path / "Models/default/network-x").mkdir(parents=True)
    assert models.names() == []
    assert models.find("default") is None
    publish(models, "default", "first")
    assert weights(models, "default") == "first"


def test_one_training_of_a_model_at_a_time(models: Models) -> None:
    with models.unfinished("default") as folder:
        with pytest.raises(FailedPreconditionError, match="being trained by another process"), models.unfinished("default"):
            pass
        models.sweep("default")
        assert folder.exists()
        publish(models, "another", "meanwhile")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "ä", "a\n", "a\0", "x" * 65])
def test_names_that_no_model_can_have(models: Models, name: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        models.find(name)
    assert repr(name) in caught.value.message
    assert caught.value.field == "model"
    with pytest.raises(InvalidArgumentError), models.unfinished(name):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', '{"classes": 3}'])
def test_a_damaged_description_says_so(models: Models, tmp_path: Path, text: str) -> None:
    publish(models, "default", "first")
    (tmp_path / "Models/default/model.json").write_text(text)
    with pytest.raises(DataLossError, match=r"model\.json is damaged"):
        models.find("default")
