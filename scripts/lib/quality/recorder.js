// Hands on what comes in, with the time of its first sample, in pieces of 100 ms. Nothing that comes in is silence.
const PIECE = 4800;

class Recorder extends AudioWorkletProcessor {
  began = 0;
  filled = 0;
  samples = new Int16Array(PIECE + 128);

  process([input]) {
    if (this.filled === 0) this.began = currentTime;
    const channel = input[0];
    for (let i = 0; i < 128; i++) {
      const value = channel ? Math.round(channel[i] * 32768) : 0;
      this.samples[this.filled++] = Math.max(-32768, Math.min(32767, value));
    }
    if (this.filled >= PIECE) {
      this.port.postMessage({ at: this.began, samples: this.samples.slice(0, this.filled) });
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
