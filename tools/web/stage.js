// The stage: a recording (a) and what was made of it (b) on one axis of time, heard one at a time.
// gr.HTML runs this with element, props, trigger and watch. props.value: {a, b}, each null or
// {file, label, take, into, seconds, f0, f0_step, f0_median, loudness_db}; play, asked: told once, to
// play b and to download; level_db: as loud as all are; curve: the melody of a, to be edited; drawn: {melody, asked}, told once,
// what was made of it by hand. What is read back: edited, part.
// props.words: {language: {name: text}}; is_read_only: there is no pitch to edit.

const WAVE = 64, PITCH = 150, AXIS = 18, LEFT = 34; // heights of the lanes and room for names, pixels
const FADE = 0.008; // seconds; a switch clicks if it is shorter
const LOW_RATE = 8000; // Hz, of the picture of the pitch
const WINDOW = 1024; // samples at LOW_RATE
const PEAKS = 200; // a second
const LONGEST = 7200; // seconds
const SIDES = ["a", "b"];
const NOTES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

const say = (name, values = {}) => {
  const text = (props.words[document.documentElement.lang] || props.words.en)[name];
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
};
const clock = (seconds) => {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
};
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

element.innerHTML = `<section class="stage" hidden>
  <div class="stage-bar">
    <button type="button" data-do="play" class="stage-play"></button>
    <div role="group" class="stage-sides">
      <button type="button" data-side="a"></button><button type="button" data-side="b"></button>
    </div>
    <span class="stage-time"></span>
    <span class="stage-tools">
      <button type="button" data-do="edit"></button>
      <button type="button" data-do="out">−</button><button type="button" data-do="in">+</button>
      <a class="stage-download" download>⤓</a>
    </span>
  </div>
  <div class="stage-view" role="slider" tabindex="0" aria-valuemin="0"><canvas></canvas></div>
  <div class="stage-row stage-edit" role="toolbar" hidden>${["up", "down", "smooth", "unvoiced", "undo", "reset"]
    .map((each) => `<button type="button" data-edit="${each}"></button>`).join("")}</div>
  <div class="stage-row stage-part"><span></span><button type="button" data-do="again"></button>
    <button type="button" data-do="back"></button></div>
  <p class="stage-legend"><span data-legend="a"></span><span data-legend="b"></span></p>
  <p class="stage-note quiet" role="status"></p>
</section>`;
const find = (mark) => element.querySelector(mark);
const root = find(".stage"), view = find(".stage-view"), canvas = find("canvas");
const buttonOf = (name) => find(`[data-do="${name}"]`);

// ---- what is on the stage
const tracks = { a: null, b: null }; // with audio, peaks and low once they are read
let heard = "a"; // the side that is heard
let span = [0, 1]; // seconds that are seen
let part = null; // seconds that are selected, [from, to]

const seconds = () => Math.max(...SIDES.map((side) => tracks[side]?.audio?.duration || 0));
const present = (side) => Boolean(tracks[side]?.audio);
const labelOf = (side) => tracks[side]?.label || say(side === "a" ? "stage_source" : "stage_result");

// ---- sound: both sides start together, a switch only turns one up and the other down
let context = null, playing = null; // {at, from, until, sources, gains}

const gainOf = (side) => {
  const all = [...SIDES.map((each) => tracks[each]?.loudness_db), props.value?.level_db];
  const levels = all.filter(Number.isFinite);
  const own = tracks[side]?.loudness_db;
  return Number.isFinite(own) ? 10 ** ((Math.min(...levels) - own) / 20) : 1; // only ever down
};
let rest = 0; // where it stands when it does not play
const position = () => {
  if (!playing) return rest;
  return Math.min(playing.from + Math.max(0, context.currentTime - playing.at), playing.until);
};
const turn = () => {
  if (!playing) return;
  for (const side of SIDES)
    playing.gains[side]?.gain.setTargetAtTime(side === heard ? gainOf(side) : 0, context.currentTime, FADE / 3);
};
const pause = () => {
  if (!playing) return;
  rest = position();
  const { sources } = playing;
  playing = null;
  for (const source of sources) source.stop();
  show();
};
const play = () => {
  if (!seconds()) return;
  context ||= new AudioContext();
  context.resume();
  window.takeTurn?.(stage);
  let from = part ? clamp(rest, part[0], part[1]) : rest;
  const until = part ? part[1] : seconds();
  if (from >= until - 0.02) from = part ? part[0] : 0;
  const at = context.currentTime + 0.03, gains = {}, sources = [];
  for (const side of SIDES) {
    if (!present(side)) continue;
    const source = context.createBufferSource();
    source.buffer = tracks[side].audio;
    gains[side] = context.createGain();
    gains[side].gain.value = side === heard ? gainOf(side) : 0;
    source.connect(gains[side]).connect(context.destination);
    if (from < source.buffer.duration) source.start(at, from, until - from);
    sources.push(source);
  }
  playing = { at, from, until, sources, gains };
  show();
  requestAnimationFrame(step);
};
const step = () => {
  if (!playing) return;
  if (position() >= playing.until) {
    pause();
    rest = part ? part[0] : 0;
    return show();
  }
  const length = span[1] - span[0];
  if (position() > span[1] || position() < span[0]) look(position(), position() + length);
  draw();
  tell();
  requestAnimationFrame(step);
};
const seek = (second) => {
  const was = playing;
  pause();
  rest = clamp(second, 0, seconds());
  if (part && (rest < part[0] || rest > part[1])) part = null;
  if (was) play();
  const length = span[1] - span[0];
  if (rest > span[1] || rest < span[0]) look(rest - length / 2, rest + length / 2);
  show();
};
const hear = (side) => {
  if (!present(side)) return;
  heard = side;
  turn();
  picture = null;
  show();
};
const other = () => hear(heard === "a" ? "b" : "a");

// ---- reading
const addressOf = (file) => file.url || window.addressOf(file.path);
const load = async (side, track) => {
  const before = tracks[side];
  if (!track || before?.file.path === track.file.path) {
    tracks[side] = track && { ...before, ...track };
    return;
  }
  tracks[side] = track;
  if (track.seconds > LONGEST) throw new Error("too long to be held decoded");
  const answer = await fetch(addressOf(track.file));
  const rate = track.seconds > 900 ? 16000 : 48000; // hours would not fit into a phone
  const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await answer.arrayBuffer());
  if (tracks[side]?.file.path !== track.file.path) return; // another one came meanwhile
  Object.assign(tracks[side], seen(audio));
  if (side === "b" && !playing) heard = "b"; // what was just made
  look(0, seconds());
};
// What is drawn of a recording: its peaks, and itself at a low rate.
const seen = (audio) => {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  const wave = channels[0], hop = audio.sampleRate / PEAKS, ratio = audio.sampleRate / LOW_RATE;
  const peaks = new Float32Array(Math.ceil(wave.length / hop));
  const low = new Float32Array(Math.floor(wave.length / ratio));
  for (let i = 0; i < wave.length; i++) {
    const place = Math.floor(i / hop), level = Math.abs(wave[i]);
    if (level > peaks[place]) peaks[place] = level;
    const at = Math.floor(i / ratio);
    if (at < low.length) low[at] += wave[i] / ratio;
  }
  return { audio, peaks, low, top: peaks.reduce((most, each) => Math.max(most, each), 0.001) };
};
const read = (melody) => Float32Array.from(melody.split(" "), Number);
let played = "", asked = "", redrawn = ""; // what was done already
const take = async () => {
  const value = props.value || {};
  const isNew = (side) => value[side] && value[side].file.path !== tracks[side]?.file.path;
  if (isNew("a") || !value.a) pause(), ([rest, part] = [0, null]), leave();
  if (isNew("b") && heard === "b") pause();
  root.hidden = !value.a && !value.b;
  const note = find(".stage-note");
  if (SIDES.some(isNew)) note.textContent = say("stage_reading");
  const loading = SIDES.map((side) => load(side, value[side] || null));
  const failed = (await Promise.allSettled(loading)).some((each) => each.status === "rejected");
  note.textContent = failed ? say("stage_unplayable") : "";
  if (!present(heard)) heard = present("a") ? "a" : "b";
  picture = null;
  turn();
  show();
  if (value.drawn && value.drawn.asked !== redrawn) {
    redrawn = value.drawn.asked;
    leave();
    [isEditing, measured, curve] = [true, read(value.curve), read(value.drawn.melody)];
    before.push(measured.slice());
    changed();
  } else if (value.curve && isEditing && !curve) {
    measured = read(value.curve);
    curve = measured.slice();
    hear("a");
  }
  keep();
  if (value.play && value.play !== played && present("b")) { // else it is still being read
    played = value.play;
    hear("b");
    seek(0);
    play();
  }
  if (value.asked && value.asked !== asked) {
    asked = value.asked;
    const link = document.createElement("a");
    [link.href, link.download] = [addressOf(value.download), value.download.orig_name];
    link.click();
  }
};

// ---- the melody that is sung: of the recording, in Hz, as it was measured or changed by hand
const FRAMES = 100; // a second
const LOWEST = 40, HIGHEST = 1600; // Hz
let isEditing = false, measured = null, curve = null;
const before = []; // what undo brings back

const isEdited = () => Boolean(curve) && before.length > 0;
const keep = () => { // so that Convert reads it
  const { edited, part: _, ...rest } = props.value || {};
  const now = isEdited() ? Array.from(curve, (hz) => Math.round(hz * 10) / 10).join(" ") : undefined;
  if (now !== edited) props.value = now === undefined ? rest : { ...rest, edited: now };
};
const leave = () => {
  [isEditing, measured, curve] = [false, null, null];
  before.length = 0;
};
const touch = () => before.push(curve.slice());
const region = () => (part ? [Math.floor(part[0] * FRAMES), Math.ceil(part[1] * FRAMES)] : [0, curve.length]);
const each = (change) => {
  const [from, to] = region(), was = curve.slice();
  for (let i = from; i < Math.min(to, curve.length); i++)
    if (was[i] > 0) curve[i] = clamp(change(was, i), LOWEST, HIGHEST);
};
const shift = (semitones) => each((was, i) => was[i] * 2 ** (semitones / 12));
const smooth = (was, i) => { // the mean of its voiced neighbours, on the scale of notes
  let sum = 0, count = 0;
  for (const way of [-1, 1])
    for (let k = way < 0 ? 0 : 1; k < 8 && was[i + way * k] > 0; k++) sum += Math.log(was[i + way * k]), count++;
  return Math.exp(sum / count);
};
const EDITS = {
  up: () => shift(12),
  down: () => shift(-12),
  smooth: () => each(smooth),
  unvoiced: () => curve.fill(0, ...region()),
};
const edit = (name) => {
  if (!curve) return;
  if (name === "undo") curve = before.pop() || curve;
  else if (name === "reset") (curve = measured.slice()), (before.length = 0);
  else if (name === "unvoiced" && !part) return void (find(".stage-note").textContent = say("stage_part_first"));
  else touch(), EDITS[name]();
  changed();
};
const changed = () => {
  keep();
  picture = null;
  show();
};
const nudge = (semitones) => {
  if (!curve) return;
  touch();
  shift(semitones);
  changed();
};
const editing = () => {
  if (isEditing) leave(), keep();
  else {
    isEditing = true;
    trigger("measure");
  }
  picture = null;
  show();
};
// With the pointer: a drag draws, where something is voiced, with Shift everywhere; inside a part that is chosen it moves the part up and down.
let stroke = null; // {last: [frame, note]} or {base, note}
const noteAt = (event) => {
  const [low, high] = stroke?.range || range();
  const y = event.clientY - view.getBoundingClientRect().top;
  return low + (clamp(WAVE + PITCH - y, 0, PITCH) / PITCH) * (high - low);
};
const beginStroke = (event) => {
  const second = secondAt(event), shown = range();
  touch();
  const isInside = part && second >= part[0] && second <= part[1];
  stroke = { range: shown, note: noteAt(event), base: isInside ? curve.slice() : null, last: null };
  goOn(event);
};
const goOn = (event) => {
  const note = noteAt(event), frame = Math.round(secondAt(event) * FRAMES);
  if (stroke.base) {
    curve.set(stroke.base);
    shift(note - stroke.note);
  } else {
    const [from, start] = stroke.last || [frame, note], count = Math.abs(frame - from);
    for (let k = 0; k <= count; k++) {
      const i = from + Math.sign(frame - from) * k;
      if (curve[i] > 0 || (event.shiftKey && i >= 0 && i < curve.length)) curve[i] = clamp(hzOf(start + ((note - start) * k) / (count || 1)), LOWEST, HIGHEST);
    }
    stroke.last = [frame, note];
  }
  picture = null;
  draw();
};

// ---- drawing
let picture = null; // what does not move
const look = (from, to) => {
  const length = clamp(to - from, 0.5, Math.max(0.5, seconds()));
  const start = clamp(from, 0, Math.max(0, seconds() - length));
  span = [start, start + length];
  picture = null;
};
const width = () => view.clientWidth;
const xOf = (second) => LEFT + ((second - span[0]) / (span[1] - span[0])) * (width() - LEFT);
const secondOf = (x) => span[0] + ((x - LEFT) / (width() - LEFT)) * (span[1] - span[0]);
const curveOf = (side) => tracks[side]?.f0 || [];
const range = () => { // lowest and highest pitch shown, as notes
  if (stroke) return stroke.range;
  const curves = [...SIDES.map(curveOf), Array.from(curve || []).filter((_, i) => i % 5 === 0)];
  const notes = curves.flatMap((f0) => f0.filter((hz) => hz > 0).map(noteOf)).sort((x, y) => x - y);
  if (!notes.length) return [43, 67];
  const low = notes[Math.floor(notes.length * 0.01)] - 3, high = notes[Math.ceil(notes.length * 0.99) - 1] + 3;
  const missing = Math.max(0, 18 - (high - low)) / 2;
  return [low - missing, high + missing];
};
const noteOf = (hz) => 69 + 12 * Math.log2(hz / 440);
const hzOf = (note) => 440 * 2 ** ((note - 69) / 12);
const colours = () => {
  const dark = document.body.classList.contains("dark");
  return dark
    ? { a: "#a8b5c7", b: "#2dd4bf", hand: "#fbbf24", line: "#334155", text: "#cbd5e1", ink: [148, 163, 184], head: "#f8fafc", part: "rgba(45,212,191,.16)" }
    : { a: "#64748b", b: "#0d9488", hand: "#d97706", line: "#e2e8f0", text: "#475569", ink: [71, 85, 105], head: "#0f172a", part: "rgba(13,148,136,.14)" };
};

// Radix-2 transform in place; lengths are powers of two.
const transform = (re, im) => {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    const turned = (-2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k++) {
      const c = Math.cos(turned * k), s = Math.sin(turned * k);
      for (let i = k; i < n; i += size) {
        const j = i + size / 2, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
        re[j] = re[i] - x; im[j] = im[i] - y; re[i] += x; im[i] += y;
      }
    }
  }
};
const spectrogram = (low, [bottom, top], [from, to], columns, rows, ink) => {
  const image = new ImageData(columns, rows);
  const re = new Float64Array(WINDOW), im = new Float64Array(WINDOW);
  const bins = Array.from({ length: rows }, (_, y) => (hzOf(top - ((y + 0.5) / rows) * (top - bottom)) * WINDOW) / LOW_RATE);
  for (let x = 0; x < columns; x++) {
    const middle = Math.round((from + ((x + 0.5) / columns) * (to - from)) * LOW_RATE) - WINDOW / 2;
    for (let i = 0; i < WINDOW; i++)
      re[i] = (low[middle + i] || 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
    im.fill(0);
    transform(re, im);
    for (let y = 0; y < rows; y++) {
      const bin = Math.floor(bins[y]), between = bins[y] - bin;
      if (bin + 1 >= WINDOW / 2) continue;
      const level = (1 - between) * Math.hypot(re[bin], im[bin]) + between * Math.hypot(re[bin + 1], im[bin + 1]);
      const strength = clamp((20 * Math.log10(level + 1e-9) + 12) / 50, 0, 1);
      image.data.set([...ink, Math.round(150 * strength)], 4 * (y * columns + x));
    }
  }
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [columns, rows];
  sheet.getContext("2d").putImageData(image, 0, 0);
  return sheet;
};

const yOf = (note, [low, high]) => WAVE + PITCH - ((note - low) / (high - low)) * PITCH;
const drawWave = (pen, side, colour) => { // the recording above the middle, the result below
  const { peaks, top } = tracks[side], middle = WAVE / 2, up = side === "a" ? -1 : 1;
  pen.fillStyle = colour;
  pen.globalAlpha = side === heard ? 1 : 0.45;
  for (let x = LEFT; x < width(); x++) {
    const from = Math.floor(secondOf(x) * PEAKS), to = Math.max(from + 1, Math.floor(secondOf(x + 1) * PEAKS));
    let most = 0;
    for (let i = from; i < to; i++) if (peaks[i] > most) most = peaks[i];
    pen.fillRect(x, middle, 1, up * Math.max(0.5, (most / top) * (middle - 3)));
  }
  pen.globalAlpha = 1;
};
const drawCurve = (pen, f0, step, notes, colour, thick) => {
  pen.strokeStyle = colour;
  pen.lineWidth = thick;
  pen.lineJoin = "round";
  pen.beginPath();
  let isOn = false;
  const first = Math.max(0, Math.floor(span[0] / step) - 1), last = Math.min(f0.length, Math.ceil(span[1] / step) + 1);
  for (let i = first; i < last; i++) {
    if (!(f0[i] > 0)) { isOn = false; continue; }
    const point = [xOf(i * step), yOf(noteOf(f0[i]), notes)];
    if (isOn) pen.lineTo(...point);
    else pen.moveTo(...point), pen.lineTo(point[0] + 0.5, point[1]);
    isOn = true;
  }
  pen.stroke();
};
const drawStill = (scale) => {
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [canvas.width, canvas.height];
  const pen = sheet.getContext("2d"), colour = colours(), notes = range();
  pen.scale(scale, scale);
  pen.font = "11px system-ui, sans-serif";
  if (tracks[heard]?.low) {
    const columns = Math.min(700, Math.max(1, Math.round(width() - LEFT)));
    const sound = spectrogram(tracks[heard].low, notes, span, columns, PITCH, colour.ink);
    pen.drawImage(sound, LEFT, WAVE, width() - LEFT, PITCH);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (let note = Math.ceil(notes[0]); note <= notes[1]; note++) {
    if (note % 12 && note % 12 !== 7) continue;
    const y = yOf(note, notes);
    pen.fillStyle = colour.line;
    pen.fillRect(LEFT, y, width() - LEFT, 1);
    pen.fillStyle = colour.text;
    if (y > WAVE + 5 && y < WAVE + PITCH - 5) pen.fillText(`${NOTES[note % 12]}${Math.floor(note / 12) - 1}`, LEFT - 5, y);
  }
  for (const side of SIDES) if (present(side)) drawWave(pen, side, colour[side]);
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, WAVE, width() - LEFT, PITCH);
  pen.clip();
  for (const side of SIDES) if (tracks[side]?.f0) drawCurve(pen, curveOf(side), tracks[side].f0_step, notes, colour[side], side === heard ? 2.2 : 1.4);
  if (curve) drawCurve(pen, curve, 1 / FRAMES, notes, colour.hand, 2.6);
  pen.restore();
  pen.textAlign = "center";
  const length = span[1] - span[0], most = Math.max(2, Math.floor((width() - LEFT) / 70));
  const mark = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].find((each) => length / each <= most) || 3600;
  for (let second = Math.ceil(span[0] / mark) * mark; second <= span[1]; second += mark) {
    const x = xOf(second), name = mark < 1 ? clock(second) : clock(second).replace(/\.0$/, "");
    pen.fillStyle = colour.line;
    pen.fillRect(x, WAVE, 1, PITCH + 4);
    pen.fillStyle = colour.text;
    pen.fillText(name, clamp(x, LEFT + 12, width() - 14), WAVE + PITCH + AXIS / 2 + 2);
  }
  return sheet;
};
const draw = () => {
  if (root.hidden || !width()) return;
  const scale = window.devicePixelRatio || 1, height = WAVE + PITCH + AXIS;
  const size = [Math.round(width() * scale), Math.round(height * scale)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = size;
    picture = null;
  }
  picture ||= drawStill(scale);
  const pen = canvas.getContext("2d"), colour = colours();
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, ...size);
  pen.drawImage(picture, 0, 0);
  pen.scale(scale, scale);
  if (part) {
    const [from, to] = part.map(xOf).map((x) => clamp(x, LEFT, width()));
    pen.fillStyle = colour.part;
    pen.fillRect(from, 0, to - from, WAVE + PITCH);
    pen.fillStyle = colour.b;
    for (const x of [from, to]) pen.fillRect(x - 0.75, 0, 1.5, WAVE + PITCH);
  }
  const x = xOf(position());
  if (x >= LEFT - 1) {
    pen.fillStyle = colour.head;
    pen.fillRect(x - 0.75, 0, 1.5, WAVE + PITCH);
  }
};

// ---- words
const name = (target, text) => {
  if (target.getAttribute("aria-label") === text) return;
  target.setAttribute("aria-label", text);
  target.title = text;
};
const tell = () => {
  const values = { time: clock(position()), total: clock(seconds()), side: labelOf(heard) };
  const time = find(".stage-time");
  if (time.textContent !== `${values.time} / ${values.total}`) time.textContent = `${values.time} / ${values.total}`;
  const now = position().toFixed(1);
  if (view.getAttribute("aria-valuenow") === now) return;
  view.setAttribute("aria-valuenow", now);
  view.setAttribute("aria-valuetext", say("stage_position_text", values));
};
const show = () => {
  if (root.hidden) return;
  const button = buttonOf("play");
  button.textContent = playing ? "❚❚" : "▶";
  name(button, say(playing ? "stage_pause" : "stage_play"));
  name(buttonOf("in"), say("stage_zoom_in"));
  name(buttonOf("out"), say("stage_zoom_out"));
  for (const side of SIDES) {
    const choice = find(`[data-side="${side}"]`), legend = find(`[data-legend="${side}"]`);
    choice.textContent = labelOf(side);
    choice.setAttribute("aria-pressed", String(side === heard && present(side)));
    choice.disabled = !present(side);
    const hertz = Math.round(tracks[side]?.f0_median || 0);
    const isWhole = hertz && tracks[side].f0.length * tracks[side].f0_step > tracks[side].seconds - 1;
    legend.textContent = hertz ? say(isWhole ? "stage_around" : "stage_around_first", { name: labelOf(side), hertz }) : "";
  }
  name(find(".stage-sides"), say("stage_sides"));
  const pencil = buttonOf("edit");
  pencil.textContent = say("stage_edit");
  pencil.setAttribute("aria-pressed", String(isEditing));
  pencil.hidden = props.is_read_only || !present("a") || Boolean(tracks.a.take);
  const tools = find(".stage-edit");
  tools.hidden = !curve;
  name(tools, say("stage_edit"));
  tools.title = "";
  for (const button of tools.children) {
    button.textContent = say(`stage_edit_${button.dataset.edit}`);
    button.disabled = (button.dataset.edit === "undo" || button.dataset.edit === "reset") && !before.length;
  }
  if (isEditing && !curve) find(".stage-note").textContent = say("stage_measuring");
  else if (curve && !before.length) find(".stage-note").textContent = say("stage_edit_info");
  else if (curve) find(".stage-note").textContent = say("stage_edited");
  find(".stage-part span").textContent = part ? `${clock(part[0])} – ${clock(part[1])}` : "";
  buttonOf("again").textContent = say("stage_again");
  buttonOf("again").hidden = !part || !tracks.b?.take || Boolean(tracks.a?.take);
  buttonOf("back").hidden = !tracks.b?.into;
  buttonOf("back").textContent = say("stage_back");
  name(view, say("stage_position"));
  view.title = "";
  view.setAttribute("aria-valuemax", seconds().toFixed(1));
  view.removeAttribute("aria-valuenow");
  const download = find(".stage-download"), file = tracks[heard]?.file;
  download.hidden = !file;
  if (file) {
    download.href = addressOf(file);
    download.download = file.orig_name || "";
    name(download, say("stage_download", { name: labelOf(heard) }));
  }
  tell();
  draw();
};

// ---- hands
const zoom = (factor, around = position()) => {
  const length = (span[1] - span[0]) * factor, share = (around - span[0]) / (span[1] - span[0]);
  look(around - share * length, around + (1 - share) * length);
  show();
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.side) hear(button.dataset.side);
  else if (button.dataset.do === "play") playing ? pause() : play();
  else if (button.dataset.edit) edit(button.dataset.edit);
  else if (button.dataset.do === "edit") editing();
  else if (button.dataset.do === "back") trigger("back");
  else if (button.dataset.do === "again") {
    props.value = { ...props.value, part: [...part] };
    trigger("again");
  } else if (button.dataset.do === "in") zoom(0.5);
  else if (button.dataset.do === "out") zoom(2);
});
view.addEventListener("wheel", (event) => {
  const length = span[1] - span[0];
  if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, secondOf(event.offsetX));
  else if (event.deltaX && length < seconds()) look(span[0] + (event.deltaX / width()) * length, span[1] + (event.deltaX / width()) * length), show();
  else return;
  event.preventDefault();
}, { passive: false });
let pressed = null; // second at which the pointer went down
const secondAt = (event) => clamp(secondOf(event.clientX - view.getBoundingClientRect().left), 0, seconds());
view.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  view.setPointerCapture(event.pointerId);
  const isPitch = event.clientY - view.getBoundingClientRect().top > WAVE;
  if (curve && isPitch) return beginStroke(event);
  pressed = { second: secondAt(event), x: event.clientX };
});
view.addEventListener("pointermove", (event) => {
  if (stroke) return goOn(event);
  if (!pressed || Math.abs(event.clientX - pressed.x) < 5) return;
  select(pressed.second, secondAt(event));
});
view.addEventListener("pointerup", (event) => {
  if (stroke) return (stroke = null), changed();
  if (pressed && Math.abs(event.clientX - pressed.x) < 5) {
    part = null;
    seek(pressed.second);
  } else if (part) seek(part[0]);
  pressed = null;
});
view.addEventListener("pointercancel", () => { [pressed, stroke] = [null, null]; });
const select = (from, to) => {
  part = from === to ? null : [Math.min(from, to), Math.max(from, to)];
  show();
};

const KEYS = {
  " ": () => (playing ? pause() : play()),
  x: other,
  ArrowLeft: (event) => move(-1, event),
  ArrowRight: (event) => move(1, event),
  PageDown: () => seek(position() - 5),
  PageUp: () => seek(position() + 5),
  Home: () => seek(0),
  End: () => seek(seconds()),
  Escape: () => select(0, 0),
  ArrowUp: () => nudge(1),
  ArrowDown: () => nudge(-1),
};
let anchor = null; // where a selection by keys began
const move = (direction, event) => {
  const to = clamp(position() + direction * (event.altKey ? 0.1 : 1), 0, seconds());
  if (!event.shiftKey) return (anchor = null), seek(to);
  anchor ??= position();
  pause();
  rest = to;
  select(anchor, to);
};
document.addEventListener("keydown", (event) => {
  const run = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const isHere = element.contains(event.target), isFree = event.target === document.body;
  if (isHere && curve && event.ctrlKey && event.key === "z") return event.preventDefault(), edit("undo");
  if (!run || event.ctrlKey || event.metaKey || !root.checkVisibility() || !(isHere || isFree)) return;
  if (event.key === " " && event.target.closest("button, a")) return; // it presses that
  if (isFree && event.key !== " " && event.key.toLowerCase() !== "x") return;
  event.preventDefault();
  run(event);
});

const stage = { // what others, and tests, may ask
  pause,
  state: () => ({
    isPlaying: Boolean(playing), heard, position: position(), seconds: seconds(), part,
    clock: context?.currentTime || 0,
    loudness: (tracks[heard]?.loudness_db ?? 0) + 20 * Math.log10(gainOf(heard)), // LUFS
    melody: curve && Array.from(curve), edited: props.value?.edited,
    curves: Object.fromEntries(SIDES.map((side) => [side, curveOf(side).length])),
    gains: Object.fromEntries(SIDES.map((side) => [side, playing?.gains[side]?.gain.value])),
  }),
};
root.stage = stage;
new ResizeObserver(() => draw()).observe(view);
new MutationObserver(() => { picture = null; show(); }).observe(document.documentElement, { attributeFilter: ["lang"] });
new MutationObserver(() => { picture = null; show(); }).observe(document.body, { attributeFilter: ["class"] });
watch("value", take);
take();
