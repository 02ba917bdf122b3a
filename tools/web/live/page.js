// The tab Live: devices, one switch, meters, settings. The sound itself flows in audio.js and socket.js.
const [AUDIO, SOCKET, WORDS] = [AUDIO_SOURCE, SOCKET_SOURCE, TEXTS];
const STORE = "rvc-live";
const NARROW = 16000; // Hz; what a Bluetooth headset's microphone gives at most
const SILENT = 0.0005; // peak of a microphone that is switched off
const SILENT_TELLINGS = 40; // four seconds
const LOUD = 0.985;
const STRIP = 100; // columns of the picture, 100 ms each: drawing takes time from the sound

const find = (name) => element.querySelector(`[data-live="${name}"]`);
const all = (name) => [...element.querySelectorAll(`[data-live="${name}"]`)];
const root = element.querySelector(".live");
const fields = Object.fromEntries(
  ["voice", "microphone", "output", "monitor", "fit_pitch", "semitones", "index_rate", "gate_db", "denoise"]
    .map((name) => [name, find(name)]));
const modes = all("mode");
const word = (name) => WORDS[document.documentElement.lang]?.[name] ?? WORDS.en[name];

// ---------------------------------------------------------------- settings, kept in this browser
const stored = JSON.parse(localStorage.getItem(STORE) || "{}");
const valueOf = (field) => (field.type === "checkbox" ? field.checked : field.type === "range" ? +field.value : field.value);
const mode = () => modes.find((each) => each.checked).value;
const setField = (field, value) => {
  if (field.type === "checkbox") field.checked = value;
  else field.value = value;
};
const remember = () => {
  for (const [name, field] of Object.entries(fields)) if (field.value !== "" || name === "microphone" || name === "output") stored[name] = valueOf(field);
  stored.mode = mode();
  localStorage.setItem(STORE, JSON.stringify(stored));
};
const showNumbers = () => {
  find("shift").hidden = fields.fit_pitch.checked;
  for (const output of element.querySelectorAll("output[for]")) {
    const value = +document.getElementById(output.htmlFor[0]).value;
    output.textContent = output.dataset.sign && value > 0 ? `+${value}` : String(value).replace("-", "−");
  }
};
const asked = () => ({
  mode: mode(), semitones: valueOf(fields.semitones), fit_pitch: valueOf(fields.fit_pitch),
  index_rate: valueOf(fields.index_rate), gate_db: valueOf(fields.gate_db),
  denoise: valueOf(fields.denoise), is_bypassed: isBypassed,
});

const changed = (name) => {
  const { fit_pitch, semitones, ...others } = asked();
  return ["fit_pitch", "semitones"].includes(name) ? { fit_pitch, semitones } : { [name]: others[name] };
};

// ---------------------------------------------------------------- what is said
const say = (name, values = {}) => {
  let text = find(`text-${name}`).innerHTML;
  for (const [key, value] of Object.entries(values)) text = text.replaceAll(`{${key}}`, value);
  find("status").innerHTML = text;
};
const tell = (name, values = {}) => tellHtml(Object.entries(values).reduce(
  (text, [key, value]) => text.replaceAll(`{${key}}`, value), find(`text-${name}`).innerHTML));
const tellHtml = (html) => { find("told").innerHTML = html; };

// ---------------------------------------------------------------- voices and devices
const fill = (select, offered, wished) => {
  const before = wished ?? select.value;
  select.replaceChildren(...offered.map(([name, value]) => new Option(name, value)));
  if (offered.some(([, value]) => value === before)) select.value = before;
};
const base = new URL("live", document.baseURI);
const readChoices = async () => {
  const answer = await fetch(new URL("live/choices", document.baseURI));
  const { voices, can_denoise } = await answer.json();
  fill(fields.voice, voices, stored.voice);
  fields.denoise.disabled = !can_denoise;
  if (!can_denoise) fields.denoise.checked = false;
  find("no-denoise").hidden = can_denoise;
};
const canChooseOutput = "setSinkId" in AudioContext.prototype || "setSinkId" in HTMLMediaElement.prototype;
let devices = [];
const readDevices = async () => {
  devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  for (const [kind, field] of [["audioinput", fields.microphone], ["audiooutput", fields.output]]) {
    const named = devices.filter((each) => each.kind === kind && each.label && each.deviceId !== "default" && each.deviceId !== "communications");
    const wished = field.value || stored[field.dataset.live];
    fill(field, [[word("live_default"), ""], ...named.map((each) => [each.label, each.deviceId])], wished);
  }
  fields.output.disabled = !canChooseOutput;
  find("no-output").hidden = canChooseOutput;
  showMonitor();
};
const showMonitor = () => {
  const isOther = fields.output.value !== "";
  find("monitor-row").hidden = !isOther;
  find("feedback").hidden = isOther && !fields.monitor.checked;
};

// ---------------------------------------------------------------- the stream
let running = null; // {context, node, worker, stream, monitor, sink}
let state = "off"; // off, starting, on
let isBypassed = false;
let isMuted = false;
let shown = {}; // what was measured

const show = (next) => {
  state = root.dataset.state = next;
  find("switch").setAttribute("aria-pressed", String(next !== "off"));
  for (const name of ["bypass", "mute", "save"]) find(name).disabled = next !== "on";
  const title = document.title.replace(/^● /, "");
  document.title = next === "on" ? `● ${title}` : title;
};
const blobUrl = (source) => URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
const REFUSED = { NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "nothing", NotReadableError: "taken_device" };

const microphone = async (id) => {
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const wanted = id ? { ...plain, deviceId: { exact: id } } : plain;
  return navigator.mediaDevices.getUserMedia({ audio: wanted });
};

const playAt = async (audio, id) => {
  await audio.setSinkId?.(id);
  audio.autoplay = true; // play() would end other recordings, and be ended by them
};
const route = async () => {
  const { context, gain } = running;
  gain.disconnect();
  running.sink?.pause();
  const id = fields.output.value;
  const asStream = () => {
    const end = context.createMediaStreamDestination();
    gain.connect(end);
    const audio = new Audio();
    audio.srcObject = end.stream;
    return audio;
  };
  if (context.setSinkId) {
    if ((context.sinkId || "") !== id) await context.setSinkId(id);
    gain.connect(context.destination);
  } else if (id) {
    running.sink = asStream();
    await playAt(running.sink, id);
  } else gain.connect(context.destination);
  running.monitor?.pause();
  running.monitor = null;
  if (id && fields.monitor.checked) {
    running.monitor = asStream();
    await playAt(running.monitor, "");
  }
};

let turns = 0; // starts and stops so far: what was begun before the last one is given up
const start = async (take = false) => {
  if (state !== "off") return;
  const turn = ++turns;
  tellHtml("");
  find("take").hidden = true;
  if (!navigator.mediaDevices || !window.isSecureContext) return say("insecure");
  show("starting");
  say("asking");
  let stream;
  try {
    if (!fields.voice.value) await readChoices(); // pressed before they came
    if (!fields.voice.value) return stop("no_voice");
    stream = await microphone(fields.microphone.value);
    if (turn === turns) await begin(stream, take);
  } catch (error) {
    if (turn === turns) giveUp(error);
  }
  if (turn !== turns) stream?.getTracks().forEach((track) => track.stop());
};
const giveUp = (error) => {
  if (REFUSED[error.name]) return stop(REFUSED[error.name]);
  if (error.name !== "OverconstrainedError")
    return stop("strange", { reason: `${error.name}: ${error.message}`.replace(/[<&]/g, " ") });
  fields.microphone.value = "";
  remember();
  stop("gone");
};

const begin = async (stream, take) => {
  say("loading");
  const context = new AudioContext({ latencyHint: "interactive" });
  running = { context, stream };
  await context.audioWorklet.addModule(blobUrl(AUDIO));
  const node = new AudioWorkletNode(context, "live", {
    outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit",
  });
  const gain = context.createGain();
  context.createMediaStreamSource(stream).connect(node).connect(gain);
  const worker = new Worker(blobUrl(SOCKET));
  Object.assign(running, { node, gain, worker });
  const { port1, port2 } = new MessageChannel();
  node.port.postMessage({ port: port1, isMuted }, [port1]);
  node.port.onmessage = ({ data }) => measure(data);
  node.onprocessorerror = () => stop("strange", { reason: "AudioWorklet" });
  worker.onmessage = ({ data }) => answers[data.name](data);
  const url = base.href.replace(/^http/, "ws");
  worker.postMessage({
    open: url, rate: context.sampleRate, port: port2,
    settings: { ...asked(), voice: fields.voice.value, take },
  }, [port2]);
  await context.resume();
  await readDevices(); // they have names now
  await route();
  const [track] = stream.getAudioTracks();
  track.onended = () => stop("unplugged");
  const { sampleRate, latency } = track.getSettings();
  shown = { delays: [], gaps: 0, gapsHidden: 0, silent: 0, inputLatency: latency || 0, started: false };
  if (sampleRate && sampleRate <= NARROW) tell("narrow");
  context.onstatechange = () => context.state === "interrupted" && tell("interrupted");
  running.wake = await navigator.wakeLock?.request("screen").catch(() => null);
};

const stop = (name = "off", values = {}) => {
  turns++;
  const was = running;
  running = null;
  if (was) {
    was.worker?.postMessage({ close: true });
    was.worker && setTimeout(() => was.worker.terminate(), 1000);
    was.stream.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    was.monitor?.pause();
    was.sink?.pause();
    was.wake?.release();
    was.context.close();
  }
  show("off");
  say(name, values);
  find("latency").textContent = find("load").textContent = find("gaps").textContent = "–";
  level("in", 0);
  level("out", 0);
};

const answers = {
  ready: ({ values }) => {
    if (state !== "on") {
      show("on");
      say("on");
    }
    shown.started = true;
    const chosen = modes.find((each) => each.value === values.mode);
    if (!chosen.checked) {
      chosen.checked = true;
      tell("slower");
    }
  },
  report: ({ values }) => {
    if (state !== "on") return;
    shown.skipped = values.skipped;
    find("load").textContent = `${Math.round(100 * values.load_p95)} %`;
    root.dataset.load = values.load_p95 > 0.9 ? "high" : "";
    const hertz = Math.round(values.source_hz);
    find("pitch").hidden = !hertz || !fields.fit_pitch.checked;
    const shift = Math.round(10 * values.semitones) / 10;
    const text = find("text-pitch").innerHTML;
    find("pitch").innerHTML = text.replaceAll("{hertz}", hertz).replaceAll("{shift}", shift > 0 ? `+${shift}` : shift);
  },
  failed: ({ values }) => {
    if (state === "on" && values.name !== "live_taken") return tellHtml(values.html);
    stop();
    find("status").innerHTML = values.html;
    find("take").hidden = values.name !== "live_busy";
  },
  closed: () => running && stop(state === "on" ? "lost" : "refused_here"),
  saved: ({ recording }) => {
    if (!recording) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(recording);
    link.download = `live ${new Date().toLocaleString("sv").replaceAll(":", ".")}.wav`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  },
};

// ---------------------------------------------------------------- what is measured
const columns = [];
const level = (name, peak) => {
  const share = peak > 0 ? Math.max(0, 1 + Math.log10(peak) / 3) : 0; // -60 dB .. 0 dB
  find(name).style.setProperty("--level", share.toFixed(3));
  find(name).classList.toggle("loud", peak > LOUD);
};
const measure = ({ peaks, gaps, bridged, delay }) => {
  if (!running || state !== "on") return;
  level("in", isMuted ? 0 : peaks[0]);
  level("out", peaks[1]);
  columns.push([isMuted ? 0 : peaks[0], peaks[1]]);
  if (columns.length > STRIP) columns.shift();
  if (!document.hidden) draw();
  shown.gaps = gaps;
  root.dataset.bridged = bridged;
  shown.silent = peaks[0] < SILENT && !isMuted ? shown.silent + 1 : 0;
  if (shown.silent === SILENT_TELLINGS) tell("silent");
  if (peaks[0] > LOUD) tell("loud");
  if (delay === null) return;
  shown.delays.push(delay);
  if (shown.delays.length > 20) shown.delays.shift();
  const median = [...shown.delays].sort((a, b) => a - b)[shown.delays.length >> 1];
  const total = median + (running.context.outputLatency || 0) + shown.inputLatency;
  find("latency").textContent = `${Math.round(1000 * total)} ms`;
  find("gaps").textContent = String(gaps);
};
const canvas = find("strip");
const draw = () => {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  pen.clearRect(0, 0, width, height);
  const step = width / STRIP;
  columns.forEach((peaks, i) => peaks.forEach((peak, side) => {
    pen.fillStyle = style.getPropertyValue(side ? "--out" : "--in");
    const tall = Math.max(scale, Math.sqrt(Math.min(1, peak)) * (height / 2 - 2 * scale));
    const x = width - (columns.length - i) * step;
    pen.fillRect(x, side ? height / 2 + scale / 2 : height / 2 - scale / 2 - tall, Math.max(1, step * 0.7), tall);
  }));
};

// ---------------------------------------------------------------- what is pressed
const setBypass = (value) => {
  isBypassed = value;
  find("bypass").setAttribute("aria-pressed", String(value));
  running?.worker?.postMessage({ change: { is_bypassed: value } });
};
const setMute = (value) => {
  isMuted = value;
  find("mute").setAttribute("aria-pressed", String(value));
  running?.node?.port.postMessage({ isMuted: value });
};
find("switch").addEventListener("click", () => (state === "off" ? start() : stop()));
find("take").addEventListener("click", () => start(true));
find("bypass").addEventListener("click", () => setBypass(!isBypassed));
find("mute").addEventListener("click", () => setMute(!isMuted));
find("save").addEventListener("click", () => running.worker.postMessage({ save: true }));
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
  if (state !== "on" || isTyping || event.ctrlKey || event.metaKey || event.altKey || !root.checkVisibility()) return;
  if (event.key.toLowerCase() === "b") setBypass(!isBypassed);
  if (event.key.toLowerCase() === "m") setMute(!isMuted);
});
root.addEventListener("input", showNumbers);
root.addEventListener("change", async (event) => {
  remember();
  const name = event.target.dataset.live;
  if (name === "output" || name === "monitor") {
    showMonitor();
    if (running?.gain) await route().catch(() => tell("no_sink"));
  } else if (name === "microphone" && running) {
    stop();
    await start();
  } else if (running?.worker)
    running.worker.postMessage({ change: name === "voice" ? { voice: fields.voice.value } : changed(name) });
});
navigator.mediaDevices?.addEventListener("devicechange", async () => {
  const output = fields.output.value;
  await readDevices();
  if (running && output && !devices.some((each) => each.deviceId === output)) stop("output_gone");
});
document.addEventListener("visibilitychange", () => {
  if (!running) return;
  if (document.hidden) shown.gapsHidden = shown.gaps;
  else if (shown.gaps > shown.gapsHidden) tell("hidden", { count: shown.gaps - shown.gapsHidden });
});
new MutationObserver(readDevices).observe(document.documentElement, { attributeFilter: ["lang"] });
new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && state === "off" && readChoices()).observe(root);

for (const [name, field] of Object.entries(fields)) if (name in stored) setField(field, stored[name]);
for (const each of modes) if (each.value === stored.mode) each.checked = true;
showNumbers();
show("off");
say("off");
readDevices();
