// Runs on the browser's audio thread: takes the microphone, plays what came back in time.
const START_SLACK = 0.02; // seconds of sound that wait for a late part; grows after a gap
const LEAST_SLACK = 0.01;
const MOST_SLACK = 0.25;
const MORE_SLACK = 0.01; // after a gap
const SPARE = 0.015; // seconds beyond the slack that are worth leaving out
const WATCHED = 3; // seconds over which the emptiest moment is looked for
const CALM = 5; // seconds without a gap after which the slack shrinks
const MOST_WAITING = 0.6; // seconds; more came in one go, and is old
const FADE = 0.005;
const FRAME = 0.01; // seconds of microphone in one message
const TOLD = 0.05; // seconds between two reports to the page

class Live extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frame = new Float32Array(Math.round(FRAME * sampleRate));
    this.filled = 0;
    this.isMuted = false;
    this.ring = new Float32Array(4 * sampleRate);
    this.read = this.written = 0; // samples so far
    this.stamps = []; // {at, seconds}: of the sample written there
    this.isPlaying = false;
    this.hold = 0; // samples of silence before playing begins
    this.slack = START_SLACK;
    this.lows = []; // {time, length}: how little waited when a part came
    this.calmSince = currentTime;
    this.gaps = 0;
    this.last = 0; // sample that was played last, faded where sound ends
    this.ramp = 0;
    this.peaks = [0, 0];
    this.toldAt = currentTime;
    this.port.onmessage = ({ data }) => {
      if (data.port) {
        this.socket = data.port;
        this.socket.onmessage = (event) => this.arrive(event.data);
      }
      if ("isMuted" in data) this.isMuted = data.isMuted;
    };
  }

  get waiting() { return this.written - this.read; }

  arrive({ seconds, audio }) {
    if (this.isPlaying) this.watch();
    else {
      this.isPlaying = true;
      this.hold = Math.round(this.slack * sampleRate);
      this.ramp = 0;
      this.lows = [];
    }
    const size = this.ring.length;
    for (let i = 0; i < audio.length; i++) this.ring[(this.written + i) % size] = audio[i];
    this.stamps.push({ at: this.written, seconds });
    this.written += audio.length;
    if (this.waiting > MOST_WAITING * sampleRate + audio.length)
      this.leaveOut(this.waiting - audio.length - Math.round(this.slack * sampleRate));
  }

  // the emptiest moment tells how much sound waits for nothing
  watch() {
    this.lows.push({ time: currentTime, length: this.waiting });
    while (currentTime - this.lows[0].time > WATCHED) this.lows.shift();
    if (currentTime - this.calmSince > CALM) {
      this.calmSince = currentTime;
      this.slack = Math.max(LEAST_SLACK, 0.9 * this.slack);
    }
    if (this.lows.length < 8) return;
    const spare = Math.min(...this.lows.map((low) => low.length)) - this.slack * sampleRate;
    if (spare > SPARE * sampleRate) {
      this.leaveOut(Math.round(spare));
      this.lows = [];
    }
  }

  leaveOut(count) {
    const fade = Math.min(Math.round(FADE * sampleRate), this.waiting - count);
    const size = this.ring.length;
    for (let i = 0; i < fade; i++) {
      const share = (i + 0.5) / fade;
      const place = (this.read + count + i) % size;
      this.ring[place] = share * this.ring[place] + (1 - share) * this.ring[(this.read + i) % size];
    }
    this.read += count;
  }

  hear(input) {
    for (let i = 0; i < 128; i++) {
      const sample = input && !this.isMuted ? input[i] : 0;
      this.peaks[0] = Math.max(this.peaks[0], Math.abs(input ? input[i] : 0));
      this.frame[this.filled++] = sample;
      if (this.filled < this.frame.length) continue;
      this.filled = 0;
      const seconds = currentTime + (i + 1 - this.frame.length) / sampleRate;
      const audio = this.frame;
      this.frame = new Float32Array(audio.length);
      this.socket?.postMessage({ seconds, audio }, [audio.buffer]);
    }
  }

  speak(output) {
    const step = 1 / (FADE * sampleRate);
    for (let i = 0; i < output.length; i++) {
      let sample = 0;
      if (this.isPlaying && this.hold > 0) this.hold--;
      else if (this.waiting > 0) {
        this.ramp = Math.min(1, this.ramp + step);
        sample = this.ramp * this.ring[this.read++ % this.ring.length];
        this.last = sample;
      } else if (this.isPlaying) {
        this.isPlaying = false;
        this.gaps++;
        this.slack = Math.min(MOST_SLACK, this.slack + MORE_SLACK);
        this.calmSince = currentTime;
      }
      if (!this.isPlaying) sample = this.last *= 0.98;
      output[i] = sample;
      this.peaks[1] = Math.max(this.peaks[1], Math.abs(sample));
    }
  }

  tell() {
    while (this.stamps.length > 1 && this.stamps[1].at <= this.read) this.stamps.shift();
    const stamp = this.isPlaying && this.stamps[0];
    this.port.postMessage({
      peaks: this.peaks,
      gaps: this.gaps,
      delay: stamp ? currentTime - stamp.seconds - (this.read - stamp.at) / sampleRate : null,
    });
    this.peaks = [0, 0];
    this.toldAt = currentTime;
  }

  process([input], [output]) {
    this.hear(input[0]);
    this.speak(output[0]);
    if (currentTime - this.toldAt >= TOLD) this.tell();
    return true;
  }
}

registerProcessor("live", Live);
