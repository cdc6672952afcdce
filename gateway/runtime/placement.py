"""On which device a replica may go, best first; knows numbers, no device and no process."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.runtime.memory import HOST


def wished(device: str, gpus: Mapping[str, int], *, ignores_gpus: bool) -> list[str]:
    """The devices that a row's `device` allows, among `gpus` and the host.

    On a machine without known GPUs everything is accounted for on the host, and the engine judges the wish.
    """
    if not gpus or device == "cpu" or (device == "auto" and ignores_gpus):
        return [HOST]
    if device == "auto":
        return [*gpus, HOST]
    if device == "cuda":
        return list(gpus)
    return [device] if device in gpus else [HOST]


def ranked(
    devices: list[str],
    needed: Mapping[str, Mapping[str, int]],
    budgets: Mapping[str, int],
    free: Mapping[str, int],
    taken: Mapping[str, int],
) -> list[str]:
    """`devices` in the order to try them; those that could not hold the replica even if empty are left out.

    `needed` is bytes by device for each choice, `taken` how many replicas of the same model are on each. GPUs come
    before the host; among GPUs the one with the fewest replicas of this model (spread), then the one with most room.
    """
    fitting = [
        device for device in devices if all(size <= budgets.get(where, 0) for where, size in needed[device].items())
    ]
    return sorted(fitting, key=lambda device: (device == HOST, taken.get(device, 0), -free.get(device, 0)))


def engine_device(wish: str, device: str, gpus: Mapping[str, int]) -> str:
    """What the engine is told for a row's `wish` that was placed on `device`."""
    if not gpus or (device == HOST and wish.startswith("cuda")):
        return wish
    return "cpu" if device == HOST else device
