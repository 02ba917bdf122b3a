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

  const speak = async (code) => {
    document.documentElement.lang = code;
    for (const button of document.querySelectorAll("button[data-language]"))
      button.setAttribute("aria-pressed", String(button.dataset.language === code));
    (await import(core)).changeLocale(code);
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
