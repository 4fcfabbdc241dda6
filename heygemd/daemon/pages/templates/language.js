// Shows the page in the language that the reader chose here before, else the browser's, else the first.
const LANGUAGES = {{ languages | list | tojson }};
const NAMES = {{ names | tojson }};
function readerLanguage() {
  let chosen = null;
  try { chosen = localStorage.getItem("heygemd-language"); } catch { /* a browser may refuse storage to files */ }
  const wishes = [chosen, ...navigator.languages].filter(Boolean).map((wish) => wish.toLowerCase().split("-")[0]);
  return wishes.find((wish) => LANGUAGES.includes(wish)) ?? LANGUAGES[0];
}
function showLanguage(language) {
  document.documentElement.lang = language;
  document.documentElement.dataset.language = language;
  for (const button of document.querySelectorAll(".languages button")) {
    button.setAttribute("aria-pressed", String(button.lang === language));
  }
  document.dispatchEvent(new CustomEvent("language", { detail: language }));
}
function offerLanguages(place) {
  if (LANGUAGES.length < 2) return;
  for (const language of LANGUAGES) {
    const button = document.createElement("button");
    button.type = "button";
    button.lang = language;
    button.textContent = NAMES[language];
    button.addEventListener("click", () => {
      try { localStorage.setItem("heygemd-language", language); } catch { /* as above */ }
      showLanguage(language);
    });
    place.append(button);
  }
}
offerLanguages(document.querySelector(".languages"));
showLanguage(readerLanguage());
