"""What one worker takes of memory, against what it was measured to take; knows no process."""

from __future__ import annotations

from gateway.config import ModelSpec
from gateway.runtime.memory import HOST
from gateway.runtime.messages import Loaded, Taken
from gateway.runtime.need import footprint_on, growth_bytes
from gateway.weights.footprint import Footprint, Measured

# While a worker is young, its use is still taken for what the model needs; later growth is not.
YOUNG_BATCHES = 16


class Tally:
    """The peak is the highest of this load, this worker's first batches, and what earlier workers took since theirs."""

    def __init__(
        self, spec: ModelSpec, measured: Measured, device: str, loaded: Loaded, granted_bytes: int = 0
    ) -> None:
        """`device` is where the engine runs (`host` or `cuda:N`), `loaded` what it told after its load.

        `granted_bytes` of a GPU stay its share if the library there does not tell what it takes.
        """
        self.device = device
        self.usage = usage = loaded.taken
        self._cache_bytes = loaded.cache_bytes
        self._spec = spec
        self.batches = 0
        known = footprint_on(measured, device)
        self._load_host, self._load_gpu = usage.host_peak, usage.gpu_peak or granted_bytes
        # What is remembered is of use alone: a load that had more to do, the first of some files, is not the next one.
        self._used_host = max(usage.host, known.host_bytes if known else 0)
        self._used_gpu = max(usage.gpu, known.gpu_bytes if known else 0)

    def note(self, usage: Taken) -> bool:
        """The memory changed; says whether the measured peak did."""
        self.usage = usage
        if self.batches > YOUNG_BATCHES or max(usage.host_peak - self._used_host, usage.gpu_peak - self._used_gpu) <= 0:
            return False
        self._used_host = max(usage.host_peak, self._used_host)
        self._used_gpu = max(usage.gpu_peak, self._used_gpu)
        return True

    @property
    def _host_peak(self) -> int:
        return max(self._load_host, self._used_host)

    @property
    def _gpu_peak(self) -> int:
        return max(self._load_gpu, self._used_gpu)

    @property
    def is_outgrown(self) -> bool:
        """Whether the worker holds more than its measured peak, what it may take by design, and the margin."""
        usage = self.usage
        return any(
            now > peak + self._cache_bytes + growth_bytes(self._spec, peak)
            for now, peak in ((usage.host, self._host_peak), (usage.gpu, self._gpu_peak))
        )

    def added_to(self, measured: Measured, load_s: float) -> Measured:
        """What to remember of the row from now on."""
        known = Footprint(
            host_bytes=self._used_host,
            gpu_bytes=self._used_gpu,
            load_host_bytes=self._load_host,
            load_gpu_bytes=self._load_gpu,
            load_s=round(load_s, 3),
        )
        return measured.model_copy(update={"cpu" if self.device == HOST else "cuda": known})

    def held(self) -> dict[str, int]:
        """What it takes at most, by device: never less than it was seen to take."""
        held = {HOST: max(self._host_peak, self.usage.host)}
        if self.device != HOST:
            held[self.device] = max(self._gpu_peak, self.usage.gpu)
        if self._spec.memory_mib is not None:
            held[self.device] = max(held[self.device], self._spec.memory_mib << 20)
        return held

    def used(self) -> dict[str, int]:
        """What it takes now, by device."""
        return {HOST: self.usage.host} | ({} if self.device == HOST else {self.device: self.usage.gpu})
