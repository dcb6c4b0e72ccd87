"""`load_predictor`: a version's card and files -> its predictor, by the card's `model_type`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.errors import ModelError, nearest
from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm
from crypto_bot.predictors.linear import LinearPredictor
from crypto_bot.predictors.linear_file import LINEAR_FILE, read_linear
from crypto_bot.predictors.predictor import TreePredictor

LIGHTGBM, LOGISTIC, RANDOM_FOREST = "lightgbm", "logistic", "random_forest"
"""Values of `ModelCard.model_type`."""
Files = Mapping[str, bytes]


def load_predictor(card: ModelCard, files: Files) -> Predictor:
    """Rebuild the predictor of a version from its card and files; imports no training library.

    Parameters
    ----------
    card : ModelCard    `model_type` says which files are read: 'lightgbm' model.txt, 'random_forest'
                        forest.npz, 'logistic' linear.npz
    files : file name -> content; other files are ignored

    Raises
    ------
    ModelError    if the file is missing, damaged, of an unsupported kind, or disagrees with the card
    """
    if card.model_type not in _LOADERS:
        raise ModelError(
            f"card.model_type must be one of {', '.join(_LOADERS)}, was {card.model_type!r}"
            + nearest(card.model_type, _LOADERS)
        )
    predictor = _LOADERS[card.model_type](card, files)
    for name in ("feature_names", "classes"):
        wanted, found = getattr(card, name), getattr(predictor, name)
        if wanted != found:
            raise ModelError(f"card.{name} must equal the model file's {found}, was {wanted}")
    return predictor


def needed_file(files: Files, name: str) -> bytes:
    """The content of a file the model cannot do without. ModelError if it is not there."""
    if name not in files:
        raise ModelError(f"model files must include {name}, were {sorted(files)}")
    return files[name]


def _lightgbm(card: ModelCard, files: Files) -> Predictor:
    ensemble, names = read_lightgbm(needed_file(files, LIGHTGBM_FILE))
    return TreePredictor(ensemble, names, card.classes)


def _forest(card: ModelCard, files: Files) -> Predictor:
    del card
    return TreePredictor(*read_forest(needed_file(files, FOREST_FILE)))


def _logistic(card: ModelCard, files: Files) -> Predictor:
    del card
    return LinearPredictor(*read_linear(needed_file(files, LINEAR_FILE)))


_LOADERS: Mapping[str, Callable[[ModelCard, Files], Predictor]] = {
    LIGHTGBM: _lightgbm,
    LOGISTIC: _logistic,
    RANDOM_FOREST: _forest,
}
