"""Curves of a results folder: points by data set, their means, and how far codecs are apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eval import anchors, bd, codecs, store, tables

_TEXTS = ("dataset", "image", "sha256", "codec", "knob", "detail", "version", "machine", "started")
_MEANS = ("bpp", "psnr", "mse", "ms_ssim", "ssim", "lpips")

_TOLERANCE = 1.03
"""How far a curve is continued at its ends: by as much as inrcodec's files miss their budget."""


def read(path: Path) -> pd.DataFrame:
    """The table of points: numbers but for `_TEXTS`, and with a column of MS-SSIM in dB.

    Raises:
        ResultsError: it is none, or empty.
    """
    try:
        points = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str))
        points = points.drop_duplicates(["dataset", "image", "codec", "setting"], keep="last")
        for name in set(points.columns) - set(_TEXTS):
            points[name] = pd.to_numeric(points[name], errors="coerce").astype(float)
        points["ms_ssim_db"] = [bd.decibels(x) for x in points["ms_ssim"]]
    except (ValueError, KeyError) as error:
        raise store.ResultsError(
            f"{path.name}: not a table of points: {tables.line(error)}"
        ) from error
    if points.empty:
        raise store.ResultsError(f"{path.name}: no points")
    return points


class Curves:
    """The points of one data set.

    Attributes:
        name: of the data set.
        points: a row a point, ordered by codec, image and setting.
        codecs: ours first.
        own: the configuration of inrcodec with the most images, of these the one with the shortest
            name; None where there is none.
        images: those that `own` was measured on; without it, all.
    """

    def __init__(self, name: str, points: pd.DataFrame) -> None:
        """Order the points of a data set."""
        self.name = name
        self.codecs = sorted(points["codec"].unique(), key=order)
        ranks = points["codec"].map(self.codecs.index)
        self.points = (
            points.assign(rank=ranks).sort_values(["rank", "image", "setting"]).drop(columns="rank")
        )
        images = {codec: self.of(codec) for codec in self.codecs}
        ours = [codec for codec in self.codecs if is_own(codec)]
        self.own = max(ours, key=lambda codec: (len(images[codec]), -len(codec)), default=None)
        self.images = images[self.own] if self.own else sorted(points["image"].unique())

    @property
    def others(self) -> list[str]:
        """The codecs but `own`."""
        return [codec for codec in self.codecs if codec != self.own]

    @property
    def file_name(self) -> str:
        """The name as a part of a file name."""
        return tables.safe(self.name)

    def of(self, codec: str) -> list[str]:
        """The images of a codec."""
        return sorted(self.points.loc[self.points["codec"] == codec, "image"].unique())

    def rows(self, codec: str, image: str) -> pd.DataFrame:
        """The points of a codec on an image."""
        found = self.points
        return found[(found["codec"] == codec) & (found["image"] == image)]

    @functools.cached_property
    def shared(self) -> pd.DataFrame:
        """Means over `images`, or those of them that a codec has."""
        return means(self.points[self.points["image"].isin(self.images)])

    def compared(self, metric: str) -> dict[str, pd.DataFrame]:
        """The `differences` of `own` to each other codec."""
        if self.own is None:
            return {}
        return {other: differences(self.points, self.own, other, metric) for other in self.others}

    def pair(self, a: str, b: str) -> pd.DataFrame:
        """Means of two codecs over the images that both have."""
        images = set(self.of(a)) & set(self.of(b))
        chosen = self.points["codec"].isin([a, b]) & self.points["image"].isin(images)
        return means(self.points[chosen])

    def label(self, *settings: float) -> str:
        """What points of ours are called: by their target rates."""
        knobs = self.points.loc[self.points["codec"] == self.own, "knob"]
        values = ", ".join(f"{setting:g}" for setting in settings)
        return f"{values} bpp" if (knobs == "bpp").all() else f"quality {values}"


def means(points: pd.DataFrame) -> pd.DataFrame:
    """Means over the images of each codec, at the settings that were measured on all of them.

    Columns: codec, setting, images, then the means of bpp, psnr, mse, ms_ssim, ssim, lpips, and
    psnr_of_mse (the PSNR of the mean MSE) and ms_ssim_db (of the mean MS-SSIM), dB.
    """
    groups = points.groupby(["codec", "setting"], sort=False)
    values = groups[list(_MEANS)]
    # A mean over some of the images, where a value is missing, would be of another set.
    found = values.mean().where(values.count().eq(groups.size(), axis=0))
    found.insert(0, "images", groups["image"].nunique())
    found = found.reset_index()
    of = points.groupby("codec")["image"].nunique()
    found = found[found["images"] == found["codec"].map(of)].reset_index(drop=True)
    found["psnr_of_mse"] = [
        math.inf if mse == 0 else 10 * math.log10(255**2 / mse) for mse in found["mse"]
    ]
    found["ms_ssim_db"] = [bd.decibels(x) for x in found["ms_ssim"]]
    return found


def differences(points: pd.DataFrame, own: str, other: str, metric: str) -> pd.DataFrame:
    """At each point of ours, how much more quality it has than another codec at the same rate.

    The other curve is interpolated linearly over log-rate between its points, and continued by no
    more than `_TOLERANCE`: columns image, setting, difference (NaN outside), below (its files there
    are all larger).
    """
    rows = []
    for image, ours in points[points["codec"] == own].groupby("image", sort=False):
        theirs = points[(points["codec"] == other) & (points["image"] == image)]
        curve = bd.frontier(zip(theirs["bpp"], theirs[metric], strict=True))
        if not curve:
            continue
        for row in ours.itertuples():
            difference = getattr(row, metric) - interpolated(curve, row.bpp)
            rows.append((image, row.setting, difference, row.bpp * _TOLERANCE < curve[0][0]))
    frame = pd.DataFrame(rows, columns=["image", "setting", "difference", "below"])
    return frame.replace([np.inf, -np.inf], np.nan)


def by_setting(found: pd.DataFrame) -> pd.DataFrame:
    """Mean of `differences`, images compared and images won, by setting; none where it has none."""
    known = found.dropna(subset="difference")
    return known.groupby("setting")["difference"].agg(
        mean="mean", images="count", won=lambda values: int((values > 0).sum())
    )


def interpolated(curve: Sequence[tuple[float, float]], rate: float) -> float:
    """The quality of a curve, a `bd.frontier`, at a rate; NaN where that is outside."""
    rates, values = np.array(curve).T
    inside = rates[0] / _TOLERANCE <= rate <= rates[-1] * _TOLERANCE
    if not inside or len(rates) < 2:
        return math.nan
    end = int(np.clip(np.searchsorted(rates, rate), 1, len(rates) - 1))
    share = math.log(rate / rates[end - 1]) / math.log(rates[end] / rates[end - 1])
    return float((1 - share) * values[end - 1] + share * values[end])


def attempt(function: Callable[[bd.Curve, bd.Curve], bd.Delta], anchor: bd.Curve,
             test: bd.Curve) -> bd.Delta | str:  # fmt: skip
    """A delta, or why there is none."""
    try:
        return function(anchor, test)
    except bd.BdError as error:
        return str(error)


def curve_of(rows: pd.DataFrame, codec: str, metric: str) -> list[tuple[float, float]]:
    """The points (bpp, metric) of a codec."""
    rows = rows[rows["codec"] == codec]
    return list(zip(rows["bpp"], rows[metric], strict=True))


def mean_delta(each: Curves, anchor: str, test: str, metric: str,
                function: Callable[[bd.Curve, bd.Curve], bd.Delta]) -> bd.Delta | str:  # fmt: skip
    """A delta between the means over the images that both have, or why there is none."""
    rows = each.pair(anchor, test)
    if rows.empty:
        return "no image and setting in common"
    return attempt(function, curve_of(rows, anchor, metric), curve_of(rows, test, metric))


def image_delta(each: Curves, anchor: str, test: str, image: str) -> bd.Delta | str:
    """The BD-rate in PSNR of an image, or why there is none."""
    curves = [curve_of(each.rows(codec, image), codec, "psnr") for codec in (anchor, test)]
    return attempt(bd.bd_rate, *curves) if all(curves) else "not measured on this image"


def image_deltas(each: Curves, anchor: str, test: str) -> tuple[list[float], list[bd.Delta | str]]:
    """BD-rates of the images that both have, percent: those that are defined, and all."""
    images = [image for image in each.of(test) if image in each.of(anchor)]
    deltas = [image_delta(each, anchor, test, image) for image in images]
    return [delta.value for delta in deltas if isinstance(delta, bd.Delta)], deltas


def published_deltas(each: Curves, published: Sequence[anchors.Anchor]) -> dict[str, float]:
    """Our BD-rate in PSNR against published curves, percent, image by image or as if it were.

    Where a curve of each image was published, the mean of the BD-rates of the images. From there
    others are reached by means that were both taken over files of one setting, not of one rate as
    ours are.
    """
    via = anchors.image_by_image(published)
    if via is None or each.own is None:
        return {}
    own = {image: curve_of(each.rows(each.own, image), each.own, "psnr") for image in each.images}
    deltas = [attempt(bd.bd_rate, via.each[image], curve) for image, curve in own.items()]
    defined = [delta.value for delta in deltas if isinstance(delta, bd.Delta)]
    if len(defined) < len(deltas):
        return {}
    mean = 1 + float(np.mean(defined)) / 100
    found = {}
    for anchor in published:
        delta = attempt(bd.bd_rate, via.psnr, anchor.psnr)
        alike = anchor.same and anchor.codec not in anchors.ONE_RATE
        if alike and isinstance(delta, bd.Delta):
            found[anchor.codec] = 100 * (mean / (1 + delta.value / 100) - 1)
    return found


def middle(each: Curves) -> float:
    """The middle one of our settings that all images have."""
    settings = sorted(each.shared.loc[each.shared["codec"] == each.own, "setting"])
    settings = settings or sorted(
        each.points.loc[each.points["codec"] == each.own, "setting"].unique()
    )
    return float(settings[len(settings) // 2])


def order(codec: str) -> tuple[bool, int, str]:
    """inrcodec, its other configurations, then the rest as `codecs.NAMES` has them."""
    base = codec.partition(":")[0]
    place = codecs.NAMES.index(base) if base in codecs.NAMES else len(codecs.NAMES)
    return (not is_own(codec), place, codec)


def is_own(codec: str) -> bool:
    """Whether a codec is inrcodec, at any configuration."""
    return codec.startswith("inrcodec")
