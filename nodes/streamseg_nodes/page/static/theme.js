// Light, dark, or as the system has it; kept in this browser.

const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function setUpTheme(button) {
  let theme = localStorage.getItem("theme") ?? "auto";
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.onclick = () => {
    theme = NEXT[theme] ?? "auto";
    localStorage.setItem("theme", theme);
    apply();
  };
  apply();
}
