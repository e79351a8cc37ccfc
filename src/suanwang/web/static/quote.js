// The quote page: a few numbers become a need file, a changed choice asks again, and a named line is gone to.
(() => {
  "use strict";
  const text = document.getElementById("need");
  if (!text) return;
  const ask = () => text.dispatchEvent(new Event("input", { bubbles: true }));
  const few = ["few-work", "few-parameters", "few-tokens"].map((id) => document.getElementById(id));
  const write = () => {
    const [work, parameters, tokens] = few.map((field) => field.value.trim());
    if (!parameters || !tokens) return;
    const method = work === "finetune" ? "method: full\n" : "";
    text.value = `work: ${work}\nmodel:\n  parameters: ${parameters}\ntokens: ${tokens}\n${method}`;
    ask();
  };
  few.forEach((field) => field.addEventListener("input", write));
  // `changed` in the trigger looks at the text alone, so a choice asks by itself.
  for (const choice of document.querySelectorAll("select.asks")) {
    choice.addEventListener("change", () => {
      if (!text.value.trim()) return;
      const values = Object.fromEntries(new FormData(document.getElementById("need-form")));
      htmx.ajax("POST", "/quote/preview", { target: "#answer", swap: "innerHTML", values });
    });
  }
})();
