// The cards of voices: one is chosen, used, or heard as it says the example.
// gr.HTML runs this with element, props, trigger and watch. props.heard: {voice, share} while the
// example is made, then {voice, file, at}; {voice} alone where it could not be made.

const said = SAID; // English; page.js translates it
const player = new Audio();
const making = {}; // voice -> share
let spoken = "", wanted = ""; // the voice in the player, and the one that was pressed last

const show = () => {
  for (const button of element.querySelectorAll(".hear")) {
    const { voice } = button.dataset;
    const isMade = voice in making, isPlayed = voice === spoken && !player.paused;
    const share = making[voice] ? `${Math.round(100 * making[voice])} %` : "…";
    button.textContent = isMade ? share : isPlayed ? "❚❚" : "▶";
    button.ariaLabel = said[isMade ? "making" : isPlayed ? "pause" : "hear"];
    button.ariaBusy = String(isMade);
  }
};
for (const kind of ["play", "pause", "ended"]) player.addEventListener(kind, show);

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-voice]");
  if (!button) return;
  const { voice } = button.dataset;
  if (!button.matches(".hear")) return trigger(button.matches(".use") ? "use" : "select", { voice });
  if (voice in making) return;
  wanted = voice;
  if (voice === spoken && !player.paused) return player.pause();
  player.pause();
  making[voice] = 0;
  show();
  trigger("hear", { voice });
});

watch("heard", () => {
  const { voice, share, file } = props.heard;
  if (share === undefined) delete making[voice];
  else making[voice] = share;
  if (file && voice === wanted && element.checkVisibility()) {
    spoken = voice;
    player.src = window.addressOf(file);
    player.play().catch(show); // pressed again before it began
  }
  show();
});
watch("value", show);
