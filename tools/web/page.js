() => {
  // The language follows the browser until one is chosen; a choice is kept in this browser.
  const languages = ["en", "zh-CN"];
  const wished = localStorage.getItem("language") || navigator.language;
  const first = languages.find((code) => code.split("-")[0] === wished.split("-")[0]) || "en";

  // gradio's own switch (its Settings use it) is in the file core-<hash>.js, which is loaded by now
  const core = [
    ...performance.getEntriesByType("resource").map((entry) => entry.name),
    ...[...document.querySelectorAll("link[rel=modulepreload]")].map((link) => link.href),
  ].find((name) => /\/assets\/core-[^/]+\.js$/.test(name));

  // what gradio says in English only: {English: {language: text}}, # stands for a number
  const words = WORDS;
  // what it translates only when a tab is opened, by what it says in any language
  const late = new Map(LATE.flatMap((texts) => Object.values(texts).map((text) => [text, texts])));
  const say = (text) => {
    const language = document.documentElement.lang;
    if (late.has(text)) return late.get(text)[language];
    const number = text.match(/[\d.]+/)?.[0];
    const known = words[text.replace(number, "#")];
    if (known) return known[language].replace("#", Math.round(100 * number) / 100);
    return language === "en" ? text : text.replace(/^(number input|range slider) for /, "");
  };

  // names of its buttons, shown by the mouse too where they are only pictures
  const rename = (element) => {
    const label = element.getAttribute("aria-label");
    if (!label) return;
    if (element.matches("div.empty")) return element.removeAttribute("aria-label"); // a plain box
    if (label !== element.dataset.said) element.dataset.english = label;
    const said = say(element.dataset.english);
    element.dataset.said = said;
    if (said !== label) element.setAttribute("aria-label", said);
    if (element.matches("button") && (element.dataset.act || !element.innerText.trim())) element.title = said;
  };
  const entitle = (element) => {
    const text = element.firstChild;
    if (text?.nodeType !== Node.TEXT_NODE) return;
    const read = text.data.trim().replace(/\s+/g, " ");
    if (say(read) !== read) text.data = `${say(read)} `;
  };
  const translateLate = (root = document) => {
    for (const element of root.querySelectorAll("button[role=tab], .upload-container .wrap, .upload-container .or"))
      for (const node of element.childNodes) {
        const text = node.nodeType === Node.TEXT_NODE && node.data.trim();
        if (late.has(text)) node.data = node.data.replace(text, say(text));
      }
  };

  // what is refused is said beside what was used, and gone when anything on its tab is used again
  let used = null;
  const tabOf = (element) => {
    const outer = element.parentElement?.closest("[role=tabpanel]");
    return outer ? tabOf(outer) : element.closest("[role=tabpanel]");
  };
  const forget = (element) => {
    for (const note of document.querySelectorAll(".field-error"))
      if (!tabOf(note) || tabOf(note) === tabOf(element)) note.remove();
  };
  const remember = (event) => {
    if (!event.isTrusted && event.type === "click") return;
    const element = event.target.closest?.("button, label, input, textarea, .block");
    if (!element || element.closest(".toast-wrap")) return;
    used = element;
    forget(element);
  };
  for (const kind of ["click", "change", "drop", "input"])
    document.addEventListener(kind, remember, true);
  const showBeside = (message) => {
    const toast = message.closest(".toast-body");
    const beside = message.querySelector("[class^=beside-]")?.className.replace("beside-", "");
    const field = document.getElementById(beside);
    const at = field || used;
    if (!at?.isConnected || !toast || (!field && !used.checkVisibility())) return;
    const card = at.closest("li");
    const place = at.closest(".inline, .row, .block") || at;
    const note = document.createElement("p");
    note.className = "field-error";
    note.setAttribute("role", "alert");
    note.innerHTML = message.querySelector("[data-testid=toast-text]").innerHTML; // gradio's own, escaped
    if (card) card.append(note);
    else place.after(note);
    if (!at.checkVisibility()) return; // it ended while another tab was open: the toast says it, too
    if (field) for (const each of [note, field]) each.scrollIntoView({ block: "nearest" });
    toast.querySelector("[data-testid=toast-close]").click();
  };

  // that something ended is seen on the browser's own tab, too, until the page is looked at
  const tellEnd = () => {
    const title = document.title.replace(/^✓ /, "");
    document.title = document.hidden ? `✓ ${title}` : title;
  };
  document.addEventListener("visibilitychange", () => document.hidden || tellEnd());

  const visit = (root) => {
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    if (root.matches(".chip-ended") || root.querySelector(".chip-ended")) tellEnd();
    for (const element of [root, ...root.querySelectorAll("[aria-label]")]) rename(element);
    for (const element of root.querySelectorAll(".toast-title, .uploading")) entitle(element);
    translateLate(root);
    for (const code of root.querySelectorAll("code")) // how it is done here, not in gradio's Python
      if (code.textContent === ".launch(mcp_server=True)") code.textContent = "--mcp";
    const errors = ".toast-message-item.error";
    if (root.matches(errors)) showBeside(root);
    else root.querySelectorAll(errors).forEach(showBeside);
  };

  // tabs have addresses: #convert, #train ...; Back works, and a reload keeps the tab
  const tabs = TABS;
  const address = () => (tabs.includes(location.hash.slice(1)) ? location.hash.slice(1) : tabs[0]);
  const tabButton = (name) => document.querySelector(`button[role="tab"][data-tab-id="${name}"]`);
  const openTab = () => {
    const button = tabButton(address());
    if (button && button.getAttribute("aria-selected") !== "true") button.click();
  };
  const noteTab = (button) => {
    const name = button.dataset.tabId;
    if (button.closest("[role=tabpanel]")) return; // a tab inside a tab has none
    const isOpened = tabs.includes(name) && button.getAttribute("aria-selected") === "true";
    if (isOpened && name !== address()) history.pushState(null, "", `#${name}`);
  };
  addEventListener("popstate", openTab);

  new MutationObserver((changes) => {
    for (const change of changes)
      if (change.type === "childList") change.addedNodes.forEach(visit);
      else if (change.attributeName === "aria-label") rename(change.target);
      else if (change.target.dataset.tabId) noteTab(change.target);
  }).observe(document.body, {
    subtree: true, childList: true, attributeFilter: ["aria-label", "aria-selected"],
  });

  // what works, waits or has ended stands on every tab
  const root = window.gradio_config?.root || "";
  let chip = "";
  const lookAtWork = async () => {
    const answer = await fetch(`${root}/chip`).catch(() => null); // the server may be gone
    const html = answer?.ok ? await answer.text() : "";
    if (html !== chip) document.getElementById("job-chip").innerHTML = chip = html;
    setTimeout(lookAtWork, 2000);
  };

  // where a file is that the page made
  window.addressOf = (path) =>
    `${root}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;

  // one recording plays at a time, wherever its player is
  let playing = null;
  window.takeTurn = (player) => {
    if (playing && playing !== player) playing.pause();
    playing = player;
  };
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function (...given) {
    window.takeTurn(this);
    return play.apply(this, given);
  };

  const speak = async (code) => {
    document.documentElement.lang = code;
    for (const button of document.querySelectorAll("button[data-language]"))
      button.setAttribute("aria-pressed", String(button.dataset.language === code));
    (await import(core)).changeLocale(code);
    visit(document.body);
    setTimeout(translateLate, 1000); // what is drawn a little later
  };

  const shade = (name) => document.body.classList.toggle("dark", name === "dark");

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-language], button[data-shade]");
    if (!button) return;
    if (button.dataset.language) {
      localStorage.setItem("language", button.dataset.language);
      speak(button.dataset.language);
    } else {
      const name = document.body.classList.contains("dark") ? "light" : "dark";
      localStorage.setItem("shade", name);
      shade(name);
    }
  });

  speak(first);
  openTab();
  lookAtWork();
  if (localStorage.getItem("shade")) shade(localStorage.getItem("shade"));
}
