// Runs in a thread of its own, so that a busy page holds up no sound: the WebSocket to the program.
// Frames as in tools/live/frames.py: kind, number, seconds, bytes of the body, body.
const [AUDIO, SETTINGS, REPORT, READY, FAILED, SPARE] = [1, 2, 3, 4, 5, 6];
const HEADER = 17;
const KEPT = 30; // seconds that can be saved
const LATE = 0.5; // seconds that wait to be sent; newer sound is left out till they are gone

let socket, port, rate;
let number = 0;
let isReady = false;
let kept = [];
let length = 0;

const send = (kind, seconds, body) => {
  const bytes = new Uint8Array(HEADER + body.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, number++, true);
  view.setFloat64(5, seconds, true);
  view.setUint32(13, body.byteLength, true);
  bytes.set(new Uint8Array(body), HEADER);
  socket.send(bytes);
};
const sendSettings = (values) =>
  socket.readyState === 1 && send(SETTINGS, 0, new TextEncoder().encode(JSON.stringify(values)).buffer);

const keep = (audio) => {
  kept.push(audio);
  length += audio.length;
  while (length - kept[0].length > KEPT * rate) length -= kept.shift().length;
};

const receive = ({ data }) => {
  const view = new DataView(data);
  const kind = view.getUint8(0);
  const body = data.slice(HEADER);
  if (kind !== AUDIO && kind !== SPARE) {
    isReady ||= kind === READY;
    const name = { [REPORT]: "report", [READY]: "ready", [FAILED]: "failed" }[kind];
    return postMessage({ name, values: JSON.parse(new TextDecoder().decode(body)) });
  }
  const audio = new Float32Array(body);
  if (kind === AUDIO) keep(audio.slice());
  port.postMessage({ seconds: view.getFloat64(5, true), audio, isSpare: kind === SPARE }, [audio.buffer]);
};

const hear = ({ data: { seconds, audio } }) => {
  if (isReady && socket.readyState === 1 && socket.bufferedAmount < LATE * rate * 4)
    send(AUDIO, seconds, audio.buffer);
};

// WAV with 16 bits
const recording = () => {
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const words = (place, text) => [...text].forEach((c, i) => view.setUint8(place + i, c.charCodeAt(0)));
  words(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  words(8, "WAVEfmt ");
  [16, 0x10001, rate, 2 * rate, 0x100002].forEach((value, i) => view.setUint32(16 + 4 * i, value, true));
  words(36, "data");
  view.setUint32(40, 2 * length, true);
  let place = 44;
  for (const part of kept)
    for (const sample of part) {
      view.setInt16(place, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      place += 2;
    }
  return new Blob([view], { type: "audio/wav" });
};

onmessage = ({ data }) => {
  if (data.open) {
    ({ port, rate } = data);
    socket = new WebSocket(data.open);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => sendSettings({ ...data.settings, rate });
    socket.onmessage = receive;
    socket.onclose = () => postMessage({ name: "closed" });
    port.onmessage = hear;
  }
  if (data.change) sendSettings(data.change);
  if (data.save) postMessage({ name: "saved", recording: length ? recording() : null });
  if (data.close) socket.close();
};
