// The submit page: open a file into the text, and go to the line that a problem names.
(() => {
  "use strict";
  const text = document.getElementById("task");
  const file = document.getElementById("file");
  if (!text) return;
  file.addEventListener("change", async () => {
    if (!file.files.length) return;
    text.value = await file.files[0].slice(0, 1 << 20).text();
    file.value = "";
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.focus();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-line]");
    if (!button) return;
    const lines = text.value.split("\n");
    const number = Math.min(Number(button.dataset.line), lines.length) - 1;
    const start = lines.slice(0, number).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + lines[number].length);
    text.scrollTop = (number / lines.length) * text.scrollHeight - text.clientHeight / 3;
  });
})();
