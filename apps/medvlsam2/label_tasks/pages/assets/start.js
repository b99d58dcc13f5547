// Copy buttons, and the server's sentence in the place of a picture that could not be made.
"use strict";

async function copy(button) {
  const text = button.dataset.text;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give no clipboard to pages of plain HTTP from another machine: select the text instead.
    getSelection().selectAllChildren(button.previousElementSibling);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

async function explain(picture) {
  const sentence = document.createElement("p");
  sentence.className = "problem";
  sentence.textContent = "There is no picture.";
  picture.replaceWith(sentence);
  const reply = await fetch(picture.src);
  if (!reply.ok) sentence.textContent = (await reply.json()).detail;
}

for (const picture of document.querySelectorAll(".studies img")) {
  if (picture.complete && !picture.naturalWidth && picture.currentSrc) explain(picture);
  else picture.addEventListener("error", () => explain(picture), { once: true });
}
