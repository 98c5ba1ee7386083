// Pages work without this script; with it they are a little kinder.

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = form.querySelector("button:not([type=button])");
    if (button.getAttribute("aria-disabled")) event.preventDefault();
    button.setAttribute("aria-disabled", "true");
  });
}
// Coming back by the back button finds the form ready again.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
});

// Show and hide a password.
for (const button of document.querySelectorAll("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  const texts = { password: button.textContent, text: button.dataset.hideText };
  button.hidden = false;
  button.addEventListener("click", () => {
    input.type = input.type === "password" ? "text" : "password";
    button.textContent = texts[input.type];
  });
}

// How the mail fares: ask, ever less often, and take the new words from the server, which has them in every language.
const delivery = document.getElementById("delivery");
if (delivery) {
  const pauses = [1, 1, 1, 2, 2, 3, 5, 5, 10, 10, 20, 30, 30, 60, 60, 60];
  const look = async () => {
    try {
      const { state } = await (await fetch(delivery.dataset.status)).json();
      if (state && state !== "unknown" && state !== delivery.dataset.state) {
        const page = await (await fetch(delivery.dataset.page)).text();
        const news = new DOMParser().parseFromString(page, "text/html").getElementById("delivery");
        if (news) delivery.innerHTML = news.innerHTML;
        delivery.dataset.state = state;
      }
      if (state === "failed" || state === "unknown") return;
    } catch {
      // offline: the next look may do better
    }
    if (pauses.length) setTimeout(look, pauses.shift() * 1000);
  };
  setTimeout(look, pauses.shift() * 1000);
}
