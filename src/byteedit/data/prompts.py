"""Which of many prompts are worth pictures: not twice the same, not only decoration, and far from one another.

Embeddings come from elsewhere; numpy and scikit-learn only.
Source: ByteEdit (arXiv 2404.04860), the making of D_aes: K-means on text embeddings, then the points with the largest
mean distance to their k nearest neighbours.
"""

import re
import unicodedata

import numpy as np

__all__ = ["far_points", "is_decoration", "key", "tidy"]

NOISE = re.compile(r"https?://\S+|<[^<>]*>|--\w+(\s+[\d:.]+)?")  # links, and flags such as --ar 16:9
WORD = re.compile(r"\w+")
PHRASES = re.compile(r"\b(depth of field|unreal engine( \d)?|octane render|studio light(ing)?|sharp focus|8 k|4 k)\b")
DECORATION = frozenset(
    WORD.findall(
        """
        a an and the of in on by with very most more best top super ultra hyper extremely highly insanely incredibly
        absolutely fantastic brilliant beautiful gorgeous stunning amazing awesome incredible breathtaking epic perfect
        magnificent wonderful excellent exquisite elegant detail details detailed intricate complex quality high
        resolution res hq hd hdr uhd 4k 8k 16k 32k 1080p 3d 4d crisp clean masterpiece award winning trending artstation
        deviantart cgsociety behance pixiv photorealistic realistic hyperrealistic realism photorealism professional
        cinematic dramatic lighting volumetric global illumination ambient soft render rendered rendering vray
        raytracing ray tracing art artwork artistic digital painting illustration concept style stylized aesthetic
        vibrant colorful colors composition bokeh dof dslr photo photography photograph
        """
    )
)


def tidy(prompt: str) -> str:
    """A prompt without links, image generators' flags and needless space."""
    return " ".join(NOISE.sub(" ", prompt).split()).strip(" ,;")


def key(prompt: str) -> str:
    """What two prompts share if they differ by case, space, punctuation or the form of their characters only."""
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", prompt).casefold()))


def is_decoration(prompt: str) -> bool:
    """Whether a prompt names nothing to be seen: no words, or none but "fantastic, brilliant, 8k" and their like."""
    return DECORATION.issuperset(PHRASES.sub("", key(prompt)).split())


def far_points(
    embeddings: np.ndarray, share: float, *, clusters: int, neighbours: int, seed: int = 0
) -> np.ndarray:  # (M,) int, ascending
    """The `share` of points that lie farthest from their own kind, in every cluster alike and one at least.

    `embeddings` (N, D), of unit length for distances that follow the cosine. Far means the mean distance to the
    `neighbours` nearest points of the same K-means cluster. Raises ValueError for a share outside of (0, 1].
    """
    from sklearn.cluster import KMeans

    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
    labels = KMeans(min(clusters, len(embeddings)), random_state=seed).fit_predict(embeddings)
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        distance = _distance(embeddings[members], neighbours)
        farthest = np.argsort(-distance, kind="stable")[: max(1, round(share * len(members)))]
        kept.append(members[farthest])
    return np.sort(np.concatenate(kept))


def _distance(points: np.ndarray, neighbours: int) -> np.ndarray:  # (N,)
    """Mean distance of each point to its nearest others."""
    from sklearn.neighbors import NearestNeighbors

    count = min(neighbours, len(points) - 1)
    if not count:
        return np.zeros(len(points))
    return NearestNeighbors(n_neighbors=count).fit(points).kneighbors()[0].mean(axis=1)
