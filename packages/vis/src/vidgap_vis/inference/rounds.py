"""Videos that advance together: each gives its next group of frames, and the network takes all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.errors import InputError
from vidgap_vis.inference.groups import Group
from vidgap_vis.inference.jobs import Job
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.inference.stream import Stream
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.video.sources import Frame, FrameSource


@dataclass(frozen=True, eq=False)
class Resumed:
    """Where a video goes on that was tracked in part before.

    Attributes:
        num_frames: how many frames were shown.
        network: the temporal module's state after them.
        shared: those of them, (H, W, 3) uint8, that the next group begins with again.
        alive: tracks that were listed and may be again.
    """

    num_frames: int
    network: TemporalState | None
    shared: tuple[Tensor, ...]
    alive: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Task:
    """A video that is being tracked.

    Attributes:
        number: the video is the `number`th of all, from 0.
        job: where its frames come from.
        video: tracks it.
        save_every: after so many frames its state is handed out; None: never.
        resumed: where it goes on; None: it begins.
    """

    number: int
    job: Job
    video: Stream | TwoPasses
    save_every: int | None = None
    resumed: Resumed | None = None


@dataclass(frozen=True, eq=False)
class Turn:
    """The next group of a video.

    Attributes:
        task: the video.
        group: None: it has ended.
        save: how many frames have been shown after this one, where its state is wanted then.
        state: the network's then, once it has seen the group.
    """

    task: Task
    group: Group | None
    save: int | None = None
    state: TemporalState | None = None


def turns(task: Task) -> Iterator[Turn]:
    """Yield the turns of a video, the last one without a group.

    Raises:
        InputError: a tracker goes through it twice, and it is a camera or a pipe, which gives each
            frame once; or a frame is at fault.
    """
    source, resumed = task.job.source, task.resumed
    if isinstance(task.video, TwoPasses):
        if source.live:
            message = "the tracker goes through a video twice; a camera or a pipe gives it once"
            raise InputError(source.path, "", message)
        groups, done = task.video.groups(Frames(source)), 0
    else:
        done = 0 if resumed is None else resumed.num_frames
        shared = None if resumed is None else resumed.shared
        groups = task.video.groups(islice(source.frames(), done, None), shared)
    saved = done
    for group in groups:
        done += len(group.given)
        save = task.save_every is not None and done - saved >= task.save_every
        saved = done if save else saved
        yield Turn(task, group, done if save else None)
        del group  # nothing is held while the next frames come
    yield Turn(task, None)


class Frames:
    """The frames of a source with their places, to be gone through twice."""

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Frame]:
        return self.source.frames()


def rounds(videos: Iterable[Iterator[Turn]], together: int) -> Iterator[list[Turn]]:
    """Yield a turn of each of several videos at a time.

    A video that has ended makes room for the next; its last turn is yielded alone, before the next
    one is opened, so that an error there does not come before the end here.

    Args:
        videos: the turns of each; taken when there is room.
        together: how many videos advance together.
    """
    coming = iter(videos)
    lanes = list(islice(coming, together))
    while lanes:
        taken, going = [], []
        for lane in lanes:
            turn = next(lane)
            while turn.group is None:
                yield [turn]
                following = next(coming, None)
                if following is None:
                    break
                lane, turn = following, next(following)
            else:
                taken.append(turn)
                going.append(lane)
            del turn  # nothing is held while the next frames come
        if taken:
            yield taken
        lanes = going


class Steps:
    """Runs the model on rounds; holds the temporal state of each video.

    Turns share a step that have as many frames, of one size, and states of one shape. The others go
    alone: a video that has just begun beside one that has not, or the last frames of one.

    Args:
        step: the model.
    """

    def __init__(self, step: ModelStep) -> None:
        self.step = step
        self._states: dict[int, TemporalState | None] = {}

    def __call__(self, taken: Sequence[Turn]) -> list[tuple[Turn, ClipOutput | None]]:
        """Return each turn with the network's output for its group, None at a video's end."""
        alike: dict[Hashable, list[tuple[Turn, Group]]] = {}
        made: list[tuple[Turn, ClipOutput | None]] = []
        for turn in taken:
            if turn.group is None:
                self._states.pop(turn.task.number, None)
                made.append((turn, None))
            elif turn.save is not None:
                (output,) = self._outputs([turn.task], [turn.group])
                made.append((replace(turn, state=self._states[turn.task.number]), output))
            else:
                kind = self._kind(turn.task, turn.group)
                alike.setdefault(kind, []).append((turn, turn.group))
        for shared in alike.values():
            turns, given = zip(*shared, strict=True)
            made += zip(turns, self._outputs([turn.task for turn in turns], given), strict=True)
        return made

    def _state(self, task: Task, group: Group) -> TemporalState | None:
        if group.begins:
            return None
        if task.number not in self._states and task.resumed is not None:
            return task.resumed.network
        return self._states[task.number]

    def _kind(self, task: Task, group: Group) -> Hashable:
        """Return what turns that share a step have in common."""
        state = self._state(task, group)
        shapes = None if state is None else tuple(part.shape for part in state)
        frames = (len(group.pixels), group.size, group.repeated_next)
        return shapes, frames, task.video.with_head_inputs

    def _outputs(self, tasks: Sequence[Task], given: Sequence[Group]) -> list[ClipOutput]:
        """Take one step; return the output for each group."""
        states = [self._state(task, group) for task, group in zip(tasks, given, strict=True)]
        output, after = self.step.batch(
            [group.pixels for group in given],
            stacked(states),
            with_head_inputs=tasks[0].video.with_head_inputs,
            repeated_next=given[0].repeated_next,
        )
        if len(tasks) == 1:
            self._states[tasks[0].number] = after
            return [output]
        for index, task in enumerate(tasks):
            rows = slice(index, index + 1)
            self._states[task.number] = None if after is None else [part[rows] for part in after]
        return [output.clip(index) for index in range(len(tasks))]


def stacked(states: Sequence[TemporalState | None]) -> TemporalState | None:
    """Make one state (B, ...) of B videos' (1, ...); None of those that have none."""
    there = [state for state in states if state is not None]
    if len(there) < 2:
        return there[0] if there else None
    return [torch.cat(parts) for parts in zip(*there, strict=True)]
