"""`load_predictor`: a version's card and files -> its predictor, by the card's `model_type`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.errors import ModelError, nearest
from crypto_bot.predictors.calibration import (
    CALIBRATION_FILE,
    CalibratedPredictor,
    read_calibration,
)
from crypto_bot.predictors.composite import Member, files_of
from crypto_bot.predictors.ensemble import EnsemblePredictor, StackedPredictor
from crypto_bot.predictors.ensemble_file import ENSEMBLE_FILE, read_ensemble
from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm
from crypto_bot.predictors.linear import LinearPredictor
from crypto_bot.predictors.linear_file import LINEAR_FILE, read_linear
from crypto_bot.predictors.lstm_file import LSTM_FILE, NETWORK_FILE, read_lstm
from crypto_bot.predictors.onnx_session import OnnxPredictor
from crypto_bot.predictors.predictor import TreePredictor

LIGHTGBM, LOGISTIC, LSTM, RANDOM_FOREST = "lightgbm", "logistic", "lstm", "random_forest"
CALIBRATED, SOFT_VOTE, STACKED = "calibrated", "soft_vote", "stacked"
"""Values of `ModelCard.model_type`."""
FINAL = "final"
"""Prefix of the files of a stack's last model."""
Files = Mapping[str, bytes]


def load_predictor(card: ModelCard, files: Files) -> Predictor:
    """Rebuild the predictor of a version from its card and files; imports no training library.

    Parameters
    ----------
    card : ModelCard    `model_type` says which files are read: 'lightgbm' model.txt, 'random_forest'
                        forest.npz, 'logistic' linear.npz, 'lstm' lstm.onnx and network.json,
                        'calibrated' calibration.npz, 'soft_vote' and 'stacked' ensemble.npz;
                        members' files are named `<member>.<file>`
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


def _lstm(card: ModelCard, files: Files) -> Predictor:
    del card
    return OnnxPredictor(
        *read_lstm(needed_file(files, LSTM_FILE), needed_file(files, NETWORK_FILE))
    )


def _calibrated(card: ModelCard, files: Files) -> Predictor:
    calibration, member, _ = read_calibration(needed_file(files, CALIBRATION_FILE))
    return CalibratedPredictor(_member(card, files, 0, member), calibration)


def _soft_vote(card: ModelCard, files: Files) -> Predictor:
    found = read_ensemble(needed_file(files, ENSEMBLE_FILE))
    members = [_member(card, files, k, member) for k, member in enumerate(found.members)]
    return EnsemblePredictor(members, found.weights, found.feature_names, found.classes)


def _stacked(card: ModelCard, files: Files) -> Predictor:
    found = read_ensemble(needed_file(files, ENSEMBLE_FILE))
    members = [_member(card, files, k, member) for k, member in enumerate(found.members[:-1])]
    final = _member(card, files, FINAL, found.members[-1])
    return StackedPredictor(members, final, found.feature_names, found.classes)


def _member(card: ModelCard, files: Files, prefix: str | int, member: Member) -> Predictor:
    changed = {"model_type": member.model_type, "feature_names": member.feature_names}
    return load_predictor(card.model_copy(update=changed), files_of(prefix, files))


_LOADERS: Mapping[str, Callable[[ModelCard, Files], Predictor]] = {
    CALIBRATED: _calibrated,
    LIGHTGBM: _lightgbm,
    LOGISTIC: _logistic,
    LSTM: _lstm,
    RANDOM_FOREST: _forest,
    SOFT_VOTE: _soft_vote,
    STACKED: _stacked,
}
