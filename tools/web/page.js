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
  const say = (text) => {
    const language = document.documentElement.lang;
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
    if (element.matches("button") && !element.innerText.trim()) element.title = said;
  };
  const entitle = (element) => {
    const text = element.firstChild;
    if (text?.nodeType === Node.TEXT_NODE && say(text.data.trim()) !== text.data.trim())
      text.data = `${say(text.data.trim())} `;
  };
  const visit = (root) => {
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    for (const element of [root, ...root.querySelectorAll("[aria-label]")]) rename(element);
    for (const element of root.querySelectorAll(".toast-title")) entitle(element);
  };
  new MutationObserver((changes) => {
    for (const change of changes)
      if (change.type === "attributes") rename(change.target);
      else change.addedNodes.forEach(visit);
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-label"] });

  const speak = async (code) => {
    document.documentElement.lang = code;
    for (const button of document.querySelectorAll("button[data-language]"))
      button.setAttribute("aria-pressed", String(button.dataset.language === code));
    (await import(core)).changeLocale(code);
    visit(document.body);
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
  if (localStorage.getItem("shade")) shade(localStorage.getItem("shade"));
}
