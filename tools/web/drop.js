// What is dropped anywhere on the page goes where it belongs, through the fields that are there.
(() => {
  const WORDS = DROP_WORDS; // {name: {language: text}}
  const VOICE = /\.(pth|safetensors|index)$/i, ZIP = /\.zip$/i;
  const SOUND = /\.(wav|flac|mp3|m4a|aac|ogg|oga|opus|wma|aiff?|amr|caf|ape|ac3|mka|mp4|m4v|mov|mkv|webm|avi|mpe?g|3gp|ts)$/i;
  const PLACES = { // name -> tab, what has to be opened there, and the field
    one: ["convert", "one", "input:has(+ #source-other)"],
    many: ["convert", "many", "#recordings input[type=file]"],
    song: ["song", "", "#song-file input[type=file]"],
    train: ["train", "", "#dataset-files input[type=file]"],
    voice: ["voices", "", "#voices-upload input[type=file]"],
  };

  const openTab = () => document.querySelector("button[data-tab-id][aria-selected=true]")?.dataset.tabId;
  // the names at the end of a zip tell whether a voice is in it
  const hasVoice = async (file) => {
    const end = new Uint8Array(await file.slice(-65536 * 4).arrayBuffer());
    return /\.(pth|safetensors|index)/i.test(new TextDecoder("latin1").decode(end));
  };
  const placeOf = async (files) => {
    const isSound = (file) => SOUND.test(file.name) || /^(audio|video)\//.test(file.type);
    const zips = files.filter((file) => ZIP.test(file.name));
    if (files.some((file) => VOICE.test(file.name))) return files.length === 1 ? "voice" : "single";
    if (zips.length && (await Promise.all(zips.map(hasVoice))).some(Boolean)) return files.length === 1 ? "voice" : "single";
    const known = files.filter((file) => isSound(file) || ZIP.test(file.name));
    if (!known.length) return "unknown";
    if (openTab() === "train") return "train";
    if (openTab() === "song" && known.length === 1 && !zips.length) return "song";
    return known.length === 1 && !zips.length ? "one" : "many";
  };
  const until = (find) => new Promise((resolve, reject) => {
    let tries = 400;
    const look = () => (find() ? resolve(find()) : tries-- ? setTimeout(look, 50) : reject());
    look();
  });
  const tell = (name, files) => {
    document.querySelectorAll(".drop-word").forEach((each) => each.remove());
    const word = document.createElement("p");
    word.className = "drop-word";
    word.setAttribute("role", "status");
    const text = WORDS[`drop_${name}`][document.documentElement.lang] || WORDS[`drop_${name}`].en;
    word.textContent = text.replace("{name}", files[0].name).replace("{count}", files.length);
    document.body.append(word);
    setTimeout(() => word.remove(), 8000);
  };
  const put = async (files) => {
    const name = await placeOf(files);
    if (PLACES[name]) {
      const [tab, mode, field] = PLACES[name];
      if (openTab() !== tab) location.hash = `#${tab}`;
      await until(() => openTab() === tab);
      if (mode) (await until(() => document.querySelector(`.modes button[data-tab-id="${mode}"]`))).click();
      const input = await until(() => document.querySelector(field));
      const held = new DataTransfer();
      for (const file of files) held.items.add(file);
      input.files = held.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      if (name === "voice") { // added as soon as it is here
        await until(() => document.querySelector("#voices-upload .file-preview"));
        document.querySelector("#voices-add").click();
      }
    }
    tell(name, files);
  };

  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  const isOwn = (event) => event.target.closest?.("[data-testid=upload], .upload-container, button:has(input[type=file]), .center.boundedheight");
  let left = 0;
  const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    mark(true);
    clearTimeout(left);
    left = setTimeout(() => mark(false), 300); // dragover comes all the time
  });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!isFiles(event) || isOwn(event)) return;
    event.preventDefault();
    put([...event.dataTransfer.files]);
  });
})();
