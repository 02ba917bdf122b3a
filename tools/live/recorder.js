// Put into a page before its own scripts: keeps what the microphone gives and what the page plays,
// both by the audio clock of the page's own AudioContext, in window.recorded.
window.recorded = [[], []];
const AT_ONCE = 32; // parts of 128 samples in a message: recording should cost the page little
const source = `registerProcessor("recorder", class extends AudioWorkletProcessor {
  parts = [[], []];
  process(inputs) {
    inputs.forEach(([channel], i) => this.parts[i].push(channel ? channel.slice() : new Float32Array(128)));
    if (this.parts[0].length === ${AT_ONCE}) {
      this.port.postMessage(this.parts);
      this.parts = [[], []];
    }
    return true;
  }
});`;
const recorders = new Map();
const recorderOf = (context) => {
  if (!recorders.has(context)) {
    const node = new AudioWorkletNode(context, "recorder", { numberOfInputs: 2, numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => data.forEach((parts, i) => window.recorded[i].push(...parts));
    recorders.set(context, node);
  }
  return recorders.get(context);
};
const addModule = AudioWorklet.prototype.addModule;
AudioWorklet.prototype.addModule = async function (url) {
  await addModule.call(this, URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  return addModule.call(this, url);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) connect.call(this, recorderOf(this.context), 0, 1);
  if (this instanceof MediaStreamAudioSourceNode) connect.call(this, recorderOf(this.context), 0, 0);
  return connect.call(this, target, ...rest);
};
// both as 16 bit samples in base64
window.takeRecorded = async () => Promise.all(window.recorded.map(async (parts) => {
  const samples = new Int16Array(parts.length * 128);
  parts.forEach((part, i) => part.forEach((value, j) => {
    samples[i * 128 + j] = 32767 * Math.max(-1, Math.min(1, value));
  }));
  const reader = new FileReader();
  await new Promise((done) => {
    reader.onload = done;
    reader.readAsDataURL(new Blob([samples]));
  });
  return reader.result.split(",")[1];
}));
