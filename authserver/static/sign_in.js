// What is nicer with a script here, beside what house.js does on every page; nothing needs it.
"use strict";

// A switch that shows the password, beside each form that has one.
for (const form of document.querySelectorAll("form[data-show-password]")) {
  const passwords = form.querySelectorAll('input[type="password"]');
  const last = passwords[passwords.length - 1];
  if (!last) continue;
  const label = document.createElement("label");
  label.className = "reveal";
  const box = document.createElement("input");
  box.type = "checkbox";
  label.append(box, form.dataset.showPassword);
  last.closest(".field").append(label);
  const show = (visible) => {
    for (const password of passwords) password.type = visible ? "text" : "password";
  };
  box.addEventListener("change", () => show(box.checked));
  // A browser offers to keep a password only from a field that hides it.
  form.addEventListener("submit", () => show(false));
}

// A one-time code is sent as soon as it is complete.
for (const code of document.querySelectorAll("input.code[data-send]")) {
  code.addEventListener("input", () => {
    if (/^\s*\d{3}\s*\d{3}\s*$/.test(code.value)) code.form.requestSubmit();
  });
}

// A button that copies what another element says.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    const parts = source.children.length ? Array.from(source.children) : [source];
    const text = parts.map((part) => part.textContent.trim()).join("\n");
    navigator.clipboard.writeText(text).then(() => {
      button.textContent = button.dataset.copied;
    });
  });
}
