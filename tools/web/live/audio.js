// Runs on the browser's audio thread: takes the microphone, plays what came back in time.
// Every part tells which moment of the microphone it is of, so how late it comes is known. What plays
// is as late as nearly all parts of the last seconds were; a later one is bridged by the spare sound
// behind the part before it.
const START_MARGIN = 0.02; // seconds beyond the first part's lateness
const MARGIN = 0.004; // seconds beyond the usual lateness
const WATCHED = 20; // seconds over which lateness is watched
const USUAL = 0.95; // share of the parts that need no spare sound
const SPARE_SHARE = 0.75; // of the spare sound that is counted upon
const EXCESS = 0.01; // seconds of delay that are worth mending
const PATIENCE = 3; // seconds in which a pause is waited for to mend it
const MOST_EXCESS = 0.3; // seconds that are left out at once
const QUIET = 0.003; // highest sample of a pause
const FADE = 0.005;
const FRAME = 0.01; // seconds of microphone in one message
const TOLD = 0.1; // seconds between two reports to the page

class Live extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frame = new Float32Array(Math.round(FRAME * sampleRate));
    this.filled = 0;
    this.isMuted = false;
    this.ring = new Float32Array(4 * sampleRate);
    this.read = this.written = 0; // samples so far
    this.spare = 0; // samples in the ring after those written
    this.stamps = []; // {at, seconds}: of the sample written there
    this.next = 0; // moment that the next part should be of
    this.isPlaying = false;
    this.hold = 0; // samples of silence before playing goes on
    this.bridge = 0; // seconds of spare sound that are counted upon
    this.size = 0; // samples of a part
    this.watched = []; // {time, lateness} of the last parts
    this.target = 0; // seconds that what plays should be late
    this.excessSince = null;
    this.gaps = this.bridged = 0; // times that sound was missing; that spare sound was there
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

  place(at) { return at % this.ring.length; }

  // seconds by which what is played next is late
  get delay() {
    while (this.stamps.length > 1 && this.stamps[1].at <= this.read) this.stamps.shift();
    const [{ at, seconds }] = this.stamps;
    return currentTime - seconds - (this.read - at) / sampleRate;
  }

  arrive({ seconds, audio, isSpare }) {
    if (isSpare) {
      this.bridge = SPARE_SHARE * audio.length / sampleRate;
      audio.forEach((sample, i) => { this.ring[this.place(this.written + i)] = sample; });
      this.spare = audio.length;
      return;
    }
    this.watch(currentTime - seconds, audio.length);
    const isNext = Math.abs(seconds - this.next) < 0.002;
    if (!isNext) this.read = Math.min(this.read, this.written); // the spare sound was of another moment
    if (this.read > this.written && this.isPlaying) this.bridged++;
    const fade = Math.round(FADE * sampleRate);
    const mixed = Math.min(this.read + fade, this.written + this.spare);
    for (let i = Math.max(0, this.read - this.written); i < audio.length; i++) {
      const at = this.written + i;
      const share = this.read > this.written && at < mixed ? (at - this.read) / fade : 1;
      this.ring[this.place(at)] = share * audio[i] + (1 - share) * this.ring[this.place(at)];
    }
    this.stamps.push({ at: this.written, seconds });
    this.written += audio.length;
    this.spare = 0;
    this.next = seconds + audio.length / sampleRate;
    this.read = Math.max(this.read, this.written - this.ring.length + audio.length);
    if (this.isPlaying) return;
    this.isPlaying = true;
    this.hold = Math.max(0, Math.round((this.target - this.delay) * sampleRate));
    this.ramp = 0;
  }

  watch(lateness, size) {
    if (size !== this.size) this.watched = [];
    const isFirst = this.watched.length === 0;
    this.size = size;
    const isBehind = !isFirst && currentTime - this.watched.at(-1).time < size / sampleRate / 2;
    if (!isBehind) this.watched.push({ time: currentTime, lateness }); // else it waited for the one before
    while (currentTime - this.watched[0].time > WATCHED) this.watched.shift();
    const sorted = this.watched.map((each) => each.lateness).sort((a, b) => a - b);
    const usual = sorted[Math.floor(USUAL * (sorted.length - 1))];
    const worst = sorted[Math.max(0, sorted.length - 2)]; // but one: once is no rule
    this.target = isFirst ? lateness + START_MARGIN : MARGIN + Math.max(usual, worst - this.bridge);
  }

  // what plays too late is brought forward, in a pause if there is one; in a pause it may wait, too
  mend() {
    if (!this.isPlaying || this.hold) return;
    const excess = this.delay - this.target;
    if (excess < EXCESS) this.excessSince = null;
    else this.excessSince ??= currentTime;
    if (Math.abs(excess) < EXCESS) return;
    const fade = Math.round(FADE * sampleRate);
    const most = Math.min(Math.round(excess * sampleRate), this.written - this.read - fade);
    if (excess > MOST_EXCESS || currentTime - (this.excessSince ?? currentTime) > PATIENCE) {
      if (most > 0) this.leaveOut(most);
      return;
    }
    const enough = excess > 0 ? most : fade;
    let pause = 0;
    while (pause < enough && Math.abs(this.ring[this.place(this.read + pause)]) < QUIET) pause++;
    if (excess > 0 && pause >= 128) this.leaveOut(pause);
    if (excess < 0 && pause === fade) this.hold = Math.round(-excess * sampleRate);
  }

  leaveOut(count) {
    const fade = Math.min(Math.round(FADE * sampleRate), this.written - this.read - count);
    for (let i = 0; i < fade; i++) {
      const share = (i + 0.5) / fade;
      const place = this.place(this.read + count + i);
      this.ring[place] = share * this.ring[place] + (1 - share) * this.ring[this.place(this.read + i)];
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
      let isHeard = false;
      if (this.isPlaying && this.hold > 0) {
        this.hold--;
        this.ramp = 0;
      } else if (this.isPlaying && this.read < this.written + this.spare) {
        isHeard = true;
        this.ramp = Math.min(1, this.ramp + step);
        this.last = this.ramp * this.ring[this.place(this.read++)];
      } else if (this.isPlaying) {
        this.isPlaying = false;
        this.gaps++;
      }
      if (!isHeard) this.last *= 0.98;
      output[i] = this.last;
      this.peaks[1] = Math.max(this.peaks[1], Math.abs(this.last));
    }
  }

  tell() {
    const { peaks, gaps, bridged } = this;
    this.port.postMessage({ peaks, gaps, bridged, delay: this.isPlaying ? this.delay : null });
    this.peaks = [0, 0];
    this.toldAt = currentTime;
  }

  process([input], [output]) {
    this.hear(input[0]);
    this.mend();
    this.speak(output[0]);
    if (currentTime - this.toldAt >= TOLD) this.tell();
    return true;
  }
}

registerProcessor("live", Live);
