// What was likeliest at a character of the passage: under the pointer, or in focus, where the arrow keys move it.
(() => {
  const passage = document.getElementById("passage-text");
  const panel = document.getElementById("likeliest");
  if (!passage || !panel) return;
  const letters = [...passage.querySelectorAll("span[title]")];
  let here = letters[0];

  function make(tag, text, parent) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function show(letter) {
    if (!letter || !letter.dataset.facts) return;
    here.classList.remove("here");
    here.tabIndex = -1;
    here = letter;
    here.classList.add("here");
    here.tabIndex = 0;
    const [first, ...chances] = letter.dataset.facts.split("\n");
    panel.replaceChildren();
    make("strong", first, panel);
    const list = make("ol", "", panel);
    for (const chance of chances) {
      const bar = make("i", "", make("li", chance, list));
      bar.style.width = chance.split(" ").pop();
    }
  }

  for (const letter of letters) { // the panel tells what the tooltip told
    letter.dataset.facts = letter.title;
    letter.removeAttribute("title");
    letter.tabIndex = -1;
  }
  if (here) here.tabIndex = 0;
  panel.textContent = "Point at a character, or move through the passage with the arrow keys: what was likeliest there?";
  passage.addEventListener("mouseover", (event) => show(event.target));
  passage.addEventListener("focusin", (event) => show(event.target));
  passage.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && letters[letters.indexOf(here) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
})();
