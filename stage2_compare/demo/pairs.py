"""Generate pairs with a known answer: the class depends on text and picture, and the highest
possible accuracies from either and from both are known.

Three moods of the picture and three voices of the text are drawn independently of each other.
Together they decide the class, except for a share NOISE of the pairs, which have one of the two
other classes instead:

    voice (share) \\ mood (share)    bright (.50)  gloomy (.25)  calm (.25)
    literal  (.50)  as pictured      positive      negative      neutral
    ironic   (.25)  the opposite     negative      positive      neutral
    quiet    (.25)  wants peace      neutral       negative      positive

No model can be right more often than this in the long run, even with unlimited training data:

    text only .48500    image only .59875    sum of the two .82625    jointly .94000

The best joint model has these accuracies when part of its input is taken away:

    images shuffled .3713    texts shuffled .4850    its additive part (EMAP) at most .8263

"Sum" is the best argmax over the classes of f(text) + g(image), for any f and g. A higher accuracy
needs an interaction: here a voice reverses the meaning of the picture. ``ceilings`` computes the
four from the tables. The tables are chosen so that the sum of highest likelihood, which training
looks for, is also the sum of highest accuracy (its closest decision by .58 of log-odds), and that
a wide gap lies between any two of the numbers.

Sentences and drawings vary beyond voice and mood, and no sentence occurs twice: nothing can be
learned by heart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, product
from pathlib import Path
from random import Random

import numpy as np

from . import pictures

CLASSES = ("negative", "neutral", "positive")
VOICES = {"literal": 0.5, "ironic": 0.25, "quiet": 0.25}
MOODS = {"bright": 0.5, "gloomy": 0.25, "calm": 0.25}
MEANING = {
    ("literal", "bright"): "positive",
    ("literal", "gloomy"): "negative",
    ("literal", "calm"): "neutral",
    ("ironic", "bright"): "negative",
    ("ironic", "gloomy"): "positive",
    ("ironic", "calm"): "neutral",
    ("quiet", "bright"): "neutral",
    ("quiet", "gloomy"): "negative",
    ("quiet", "calm"): "positive",
}
NOISE = 0.06

# Each voice has characters of its own, some in every saying: a small model learns them from few
# pairs.
SAYINGS = {
    "literal": [
        "心情如图",
        "如图一样的心情",
        "正如照片这样",
        "真如画面那样",
        "感受和图一样",
        "照片一样的感受",
    ],
    "ironic": [
        "心情正好相反",
        "照片要反着看",
        "画面全是反话",
        "感受和图相反",
        "反过来的心情",
        "图要反过来懂",
    ],
    "quiet": [
        "心里只求安静",
        "静静看图就好",
        "画面安静才好",
        "只要清静的感受",
        "静一静的心情",
        "就爱安静的照片",
    ],
}
TAGS = {
    "literal": ["真的", "一点没错", "就这样", "一样一样的"],
    "ironic": ["才怪", "反话而已", "你懂的", "哈哈反了"],
    "quiet": ["嘘", "别吵", "清静", "安安静静"],
}
TIMES = [
    "今天", "昨天", "周末", "早上", "傍晚", "午后",
    "放学后", "下班路上", "假期里", "雨停了", "前天", "刚才",
]  # fmt: skip
PLACES = [
    "在公园", "在河边", "在楼下", "在操场", "在车站", "在海边",
    "在山上", "在街角", "在阳台", "在窗前", "在桥头", "在村口",
]  # fmt: skip
ENDINGS = ["", "。", "！", "…", "～", "!!"]


# ---------------------------------------------------------------- the known answer


def joint() -> np.ndarray:
    """Return P(voice, mood, class), (3, 3, 3), in the order of VOICES, MOODS and CLASSES."""
    table = np.full((len(VOICES), len(MOODS), len(CLASSES)), NOISE / (len(CLASSES) - 1))
    for (i, voice), (j, mood) in product(enumerate(VOICES), enumerate(MOODS)):
        table[i, j, CLASSES.index(MEANING[voice, mood])] = 1 - NOISE
    shares = np.outer(list(VOICES.values()), list(MOODS.values()))
    return shares[:, :, None] * table


def ceilings() -> dict[str, float]:
    """Return the highest accuracy of each kind of model: text, image, sum and joint."""
    p = joint()
    return {
        "text": float(p.sum(1).max(-1).sum()),
        "image": float(p.sum(0).max(-1).sum()),
        "sum": best_sum(p),
        "joint": float(p.max(-1).sum()),
    }


def dependence() -> dict[str, float]:
    """Return the accuracies of the best joint model if ``images``, or ``texts``, come from other
    pairs."""
    p = joint()
    says = np.eye(len(CLASSES))[p.argmax(-1)]  # (voices, moods, classes)
    voices = p.sum((1, 2))  # (voices,)
    moods = p.sum((0, 2))  # (moods,)
    return {
        "images": float(np.einsum("v,tvc,tc->", moods, says, p.sum(1))),
        "texts": float(np.einsum("t,tvc,vc->", voices, says, p.sum(0))),
    }


def best_sum(p: np.ndarray) -> float:
    """Return the highest accuracy of ``argmax_c f(t)[c] + g(v)[c]`` over all f and g.

    Exact. A decision table (a class for each cell) is such an argmax if linear inequalities in the
    values of f and g have a solution. The search assigns the cells one after the other, best first
    by an upper bound: the accuracy that the assigned cells win, and the most that the others could
    win. Partial tables without a solution are dropped, so the first complete one is the best. Equal
    scores need no care: a fixed order of preference is a small change of f.

    Args:
        p: P(t, v, c), (T, V, C).
    """
    cells = list(product(range(p.shape[0]), range(p.shape[1])))
    best = np.array([p[cell].max() for cell in cells])  # (T V,)
    most = float(best.sum())  # the bound as long as nothing is assigned
    queue: list[tuple[float, tuple[int, ...]]] = [(-most, ())]
    while True:
        bound, decided = heapq.heappop(queue)
        if not is_sum(dict(zip(cells, decided, strict=False)), p.shape):
            continue
        k = len(decided)
        if k == len(cells):
            return float(-bound)
        for c in range(p.shape[2]):
            lost = best[k] - p[cells[k]][c]
            heapq.heappush(queue, (bound + lost, (*decided, c)))


def is_sum(decisions: dict[tuple[int, int], int], shape: tuple[int, ...]) -> bool:
    """Tell if some f (T, C) and g (V, C) decide the given cells in this way.

    Args:
        decisions: (t, v) -> class.
        shape: (T, V, C).
    """
    from scipy.optimize import linprog

    texts, images, classes = shape
    rows = []
    for (t, v), c in decisions.items():
        for other in range(classes):
            if other != c:  # f[t, other] + g[v, other] - f[t, c] - g[v, c] <= -1
                f = np.zeros((texts, classes))
                g = np.zeros((images, classes))
                f[t, other] = g[v, other] = 1
                f[t, c] = g[v, c] = -1
                rows.append(np.concatenate([f.ravel(), g.ravel()]))
    if not rows:
        return True
    solution = linprog(
        np.zeros(len(rows[0])), A_ub=np.array(rows), b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    return solution.status == 0


# ---------------------------------------------------------------- pairs


def latents(count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Return ``count`` triples (voice, mood, class) in random order, each combination as often as
    its probability says."""
    ends = np.rint(np.cumsum(joint().ravel()) * count).astype(int)
    combinations = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)).tolist()
    Random(seed).shuffle(combinations)
    names = list(product(VOICES, MOODS, CLASSES))
    return (names[k] for k in combinations)


def sentence(voice: str, random: Random) -> str:
    """Return a sentence: time and place, and before or after it a saying of the voice."""
    scene = random.choice(TIMES) + random.choice(PLACES)
    said = f"{random.choice(SAYINGS[voice])}，{random.choice(TAGS[voice])}"
    parts = [scene, said] if random.random() < 0.5 else [said, scene]
    return "，".join(parts) + random.choice(ENDINGS)


def write_pairs(folder: Path, count: int, seed: int) -> None:
    """Write ``train.txt`` and ``data/<guid>.txt`` and ``.jpg``, as make_splits.py reads them.

    The same seed gives the same files (pictures: with the same Pillow). Every fourth text is in
    GB18030, like many in real collections.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    random = Random(f"{seed} pairs")
    used = set()
    lines = ["guid,tag"]
    for guid, (voice, mood, label) in enumerate(latents(count, seed), start=1):
        while (text := sentence(voice, random)) in used:
            pass
        used.add(text)
        encoding = "utf-8" if guid % 4 else "gb18030"
        (folder / "data" / f"{guid}.txt").write_bytes(text.encode(encoding))
        pictures.draw(mood, random).save(folder / "data" / f"{guid}.jpg", quality=90)
        lines.append(f"{guid},{label}")
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def characters() -> str:
    """Return all characters of the sentences, for vocabularies."""
    lists = [*SAYINGS.values(), *TAGS.values(), TIMES, PLACES, ENDINGS]
    return "，" + "".join(chain.from_iterable(lists))
