"""Places the names of points so that they hide neither each other nor the points.

adjustText was compared with this: it treats a bubble and a line as obstacles too, but often ends in a local
optimum where names overlap.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202, 67, 113, 247, 293)  # degrees
STEPS = (0.0, 10.0, 22.0, 36.0, 52.0, 70.0)  # beyond the edge of a point
GAP = 4.0  # kept around a name


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


@dataclass(frozen=True)
class LabelledPoint:
    """A bubble and the size of its name, in pixels."""

    x: float
    y: float
    radius: float
    width: float
    height: float

    @property
    def box(self) -> Box:
        """Around the bubble."""
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


def place_labels(points: Sequence[LabelledPoint], frame: Box, lines: Sequence[Box] = ()) -> list[Box]:
    """A box for each name: near its point, in the frame, and off bubbles, lines and other names if possible.

    Greedy: names with the most neighbors choose first.

    Args:
        points: what is named.
        frame: where names may be.
        lines: thin boxes that names should avoid.
    """
    near = [sum(math.dist((p.x, p.y), (o.x, o.y)) < p.width for o in points) for p in points]
    placed: dict[int, Box] = {}
    for index in sorted(range(len(points)), key=lambda i: -near[i]):
        taken = [*placed.values(), *(point.box for point in points)]
        costs = {box: distance + _cost(box, taken, frame, lines) for distance, box in _options(points[index])}
        placed[index] = min(costs, key=costs.__getitem__)
    return [placed[index] for index in range(len(points))]


def _options(point: LabelledPoint) -> Iterator[tuple[float, Box]]:
    """Possible boxes, each with its distance from the preferred one."""
    for step in STEPS:
        for rank, degrees in enumerate(DIRECTIONS):
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            reach = point.radius + GAP + step
            # the nearest edge or corner of the box is at the end of the reach
            x = point.x + across * reach + (across / max(abs(across), abs(up))) * point.width / 2
            y = point.y + up * reach + (up / max(abs(across), abs(up))) * point.height / 2
            half, rise = point.width / 2, point.height / 2
            yield step + 0.5 * rank, Box(x - half, y - rise, x + half, y + rise)


def _cost(box: Box, taken: Sequence[Box], frame: Box, lines: Sequence[Box]) -> float:
    wide = Box(box.left - GAP, box.bottom - GAP, box.right + GAP, box.top + GAP)
    hidden = sum(wide.shared(other) for other in taken)
    outside = wide.area - wide.shared(frame)
    crossed = sum(wide.shared(line) for line in lines)
    return 2 * hidden + 4 * outside + 0.15 * crossed
