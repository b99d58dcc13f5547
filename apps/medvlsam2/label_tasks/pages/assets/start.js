// Copy buttons, and the server's sentence in the place of a picture that could not be made.
"use strict";

async function copy(button) {
  const shown = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(shown.textContent);
  } catch {
    // Browsers give no clipboard to pages of plain HTTP from another machine: select the text instead.
    getSelection().selectAllChildren(shown);
    if (!document.execCommand("copy")) return;
  }
  const label = button.getAttribute("aria-label");
  button.textContent = "Copied";
  button.setAttribute("aria-label", "Copied");
  setTimeout(() => { button.textContent = "Copy"; button.setAttribute("aria-label", label); }, 1500);
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

async function explain(picture) {
  const sentence = document.createElement("p");
  sentence.className = "problem";
  sentence.textContent = "There is no picture.";
  picture.closest(".picture").replaceWith(sentence);
  try {
    const reply = await fetch(picture.src);
    if (!reply.ok) sentence.textContent = (await reply.json()).detail;
  } catch {
    sentence.textContent = "The server does not answer. Load the page again when it runs.";
  }
}

for (const picture of document.querySelectorAll(".studies img")) {
  if (picture.complete && !picture.naturalWidth && picture.currentSrc) explain(picture);
  else picture.addEventListener("error", () => explain(picture), { once: true });
}
