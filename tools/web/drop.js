// What is dropped anywhere on the page goes where it belongs, through the fields that are there.
(() => {
  const WORDS = DROP_WORDS; // {name: {language: text}}
  const VOICE = /\.(pth|safetensors|index)$/i, ZIP = /\.zip$/i;
  const SOUND = /\.(wav|flac|mp3|m4a|aac|ogg|oga|opus|wma|aiff?|amr|caf|ape|ac3|mka|mp4|m4v|mov|mkv|webm|avi|mpe?g|3gp|ts)$/i;
  const PLACES = { // name -> tab, the tab in it that has to be opened, and the field
    one: ["convert", "one", "#source-other"],
    many: ["convert", "many", "#recordings"],
    song: ["song", "whole", "#song-file"],
    stems: ["song", "stems", "#song-vocals"], // both: the page tells them apart by their names
    vocals: ["song", "stems", "#song-vocals"],
    accompaniment: ["song", "stems", "#song-accompaniment"],
    train: ["train", "", "#dataset-files"],
    voice: ["voices", "", "#voices-upload"],
  };
  const CLEAR = ".icon-button-wrapper > button:last-child"; // of a field that is filled
  const COLLECT = ["many", "train"]; // there files are added; elsewhere the new one replaces the old

  const openTab = () => document.querySelector("button[data-tab-id][aria-selected=true]")?.dataset.tabId;
  // the names at the end of a zip tell whether a voice is in it
  const hasVoice = async (file) => {
    const end = new Uint8Array(await file.slice(-65536 * 4).arrayBuffer());
    return /\.(pth|safetensors|index)/i.test(new TextDecoder("latin1").decode(end));
  };
  // name of the place, and what goes there; over: the stem's field that it was dropped on
  const placeOf = async (files, over) => {
    const isSound = (file) => SOUND.test(file.name) || /^(audio|video)\//.test(file.type);
    const zips = files.filter((file) => ZIP.test(file.name));
    if (files.some((file) => VOICE.test(file.name))) return [files.length === 1 ? "voice" : "single", files];
    if (zips.length && (await Promise.all(zips.map(hasVoice))).some(Boolean)) return [files.length === 1 ? "voice" : "single", files];
    const known = files.filter((file) => isSound(file) || ZIP.test(file.name));
    if (!known.length) return ["unknown", files];
    if (openTab() === "train") return ["train", known];
    const isOne = known.length === 1 && !zips.length;
    if (openTab() !== "song") return [isOne ? "one" : "many", known];
    if (isOne) return [over || "song", known];
    return [known.length === 2 && !zips.length ? "stems" : "cover", known];
  };
  const until = (find) => new Promise((resolve, reject) => {
    let tries = 400;
    const look = () => {
      const found = find();
      return found ? resolve(found) : tries-- ? setTimeout(look, 50) : reject();
    };
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
  const button = (id) => document.querySelector(`button[role=tab][data-tab-id="${id}"]`);
  const put = async (dropped, over) => {
    const [name, files] = await placeOf(dropped, over);
    if (PLACES[name]) {
      const [tab, inner, field] = PLACES[name];
      if (openTab() !== tab) location.hash = `#${tab}`;
      await until(() => openTab() === tab);
      if (inner) (await until(() => button(inner))).click();
      const input = await until(() => {
        const filled = document.querySelector(`${field}:has(.file-preview)`);
        if (filled && !COLLECT.includes(name)) return void filled.querySelector(CLEAR).click();
        return document.querySelector(`${field} input[type=file], input:has(+ ${field})`);
      });
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
  const FIELD = "[data-testid=upload], .upload-container, button:has(input[type=file]), .center.boundedheight";
  const isKind = (file, kind) =>
    kind.startsWith(".") ? file.name.toLowerCase().endsWith(kind) : file.type.startsWith(kind.replace("*", ""));
  // a field takes what it would take whole; what it would refuse or lose goes as if dropped elsewhere
  const isTaken = (field, files) => {
    const input = field?.querySelector("input[type=file]");
    if (!input) return Boolean(field);
    const kinds = input.accept.split(",").map((kind) => kind.trim());
    return (input.multiple || files.length === 1) && files.every((file) => kinds.some((kind) => isKind(file, kind)));
  };
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
    if (!isFiles(event)) return;
    const files = [...event.dataTransfer.files], at = event.target.closest ? event.target : document.body;
    if (isTaken(at.closest(FIELD), files)) return;
    event.preventDefault();
    event.stopPropagation(); // before the field sees it
    at.dispatchEvent(new DragEvent("dragleave", { bubbles: true })); // so that it looks as before
    put(files, at.closest("#song-vocals, #song-accompaniment")?.id.replace("song-", ""));
  }, true);
})();
