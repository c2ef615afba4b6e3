// What is nicer with a script on every page; nothing needs it.
"use strict";

const house = {
  // Instants, in the person's own time zone, and which that is.
  localise(root) {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, {
      year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
    });
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
    }
  },

  // A form is sent once, however often its button is pressed.
  sendOnce(root) {
    for (const form of root.querySelectorAll("form[method=post]")) {
      let sent = false;
      form.addEventListener("submit", (event) => {
        if (sent) {
          event.preventDefault();
          return;
        }
        sent = true;
        for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
      });
      // Back from the next page, out of the browser's cache: it may be sent again.
      addEventListener("pageshow", () => {
        sent = false;
        for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
      });
    }
  },

  enhance(root) {
    this.localise(root);
    this.sendOnce(root);
  },
};

house.enhance(document);
