"""Whisper's log-mel spectrogram in bounded memory; knows no model."""

from __future__ import annotations

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray


class BlockwiseFeatures(FeatureExtractor):  # type: ignore[misc]
    """The log-mel spectrogram of faster-whisper, made block by block: an hour at once would take 3 GB."""

    block_frames = 6000

    def __call__(
        self, waveform: NDArray[np.float32], padding: int = 160, chunk_length: int | None = None
    ) -> NDArray[np.float32]:
        """Samples, shape (n,), as log-mel features, shape (mels, frames), equal to the whole done at once."""
        if chunk_length is not None or len(waveform) <= self.block_frames * self.hop_length:
            features: NDArray[np.float32] = super().__call__(waveform, padding, chunk_length)
            return features
        half = self.n_fft // 2
        padded = np.pad(np.pad(waveform, (0, padding)), half, mode="reflect")
        window = np.hanning(self.n_fft + 1)[:-1].astype(np.float32)
        frames = (len(padded) - self.n_fft) // self.hop_length
        mel = np.empty((len(self.mel_filters), frames), np.float32)
        for start in range(0, frames, self.block_frames):
            end = min(start + self.block_frames, frames)
            block = padded[start * self.hop_length : (end - 1) * self.hop_length + self.n_fft]
            spectrum = self.stft(
                block, self.n_fft, self.hop_length, window=window, center=False, return_complex=True
            ).astype(np.complex64)
            mel[:, start:end] = self.mel_filters @ np.abs(spectrum) ** 2
        np.log10(np.maximum(mel, 1e-10, out=mel), out=mel)
        np.maximum(mel, mel.max() - 8.0, out=mel)
        mel += 4.0
        mel /= 4.0
        return mel
