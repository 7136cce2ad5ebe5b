"""Pictures of a page that a click enlarges, and keys flip through; without script they are links to themselves.

What lies in one ``figure`` is flipped through in place, so that the eye sees what changes. Every picture has an address
of its own (``report.html#image-1-3``), and text may link to it.
"""

from pathlib import Path

from seg.report import html
from seg.report.html import Html, element

STYLE = """
.view { display: block; color: inherit; text-decoration: none; font-size: 13px; cursor: zoom-in }
.views { display: grid; grid: auto auto / auto-flow minmax(110px, 1fr); gap: 8px; overflow-x: auto }
.views img { width: 100%; image-rendering: pixelated }
dialog { width: 100vw; height: 100vh; height: 100dvh; max-width: none; max-height: none; padding: 8px 12px; border: 0;
  background: var(--ground); color: var(--text) }
dialog[open] { display: flex; flex-direction: column; gap: 6px }
dialog img { flex: 1; min-height: 0; width: 100%; object-fit: contain }
dialog div { display: flex; gap: 8px; align-items: center; justify-content: center; flex-wrap: wrap }
dialog button { font: inherit; padding: 4px 12px }
.exact { image-rendering: pixelated }
@media print { dialog { display: none } }
"""
SCRIPT = """
const figures = [...document.querySelectorAll("figure")].map(figure => [...figure.querySelectorAll(".view")]);
const dialog = document.querySelector("dialog");
const [shown, title] = [dialog.querySelector("img"), dialog.querySelector("strong")];
let row = 0, column = 0;
function go(view) { location.replace("#" + view.id); }
function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  const at = figures.findIndex(views => views.some(view => view.id === id));
  if (at < 0) { if (dialog.open) dialog.close(); return; }
  row = at;
  column = figures[row].findIndex(view => view.id === id);
  const picture = figures[row][column].querySelector("img");
  shown.src = picture.src;
  shown.className = figures[row].length > 1 ? "exact" : "";
  title.textContent = figures[row][column].title;
  if (!dialog.open) dialog.showModal();
}
function leave() {
  dialog.close();
  history.replaceState(null, "", location.pathname + location.search);  // so that the same link opens it again
  figures[row][column].closest("figure").scrollIntoView({ block: "nearest" });
}
function flip(step) {
  const views = figures[row];
  if (views.length > 1) go(views[(column + step + views.length) % views.length]); else turn(step);
}
function turn(step) {
  const views = figures[(row + step + figures.length) % figures.length];
  go(views[Math.min(column, views.length - 1)]);
}
const keys = {
  Escape: leave, ArrowLeft: () => flip(-1), ArrowRight: () => flip(1), ArrowUp: () => turn(-1), ArrowDown: () => turn(1)
};
dialog.addEventListener("keydown", event => {
  const digit = /^[1-9]$/.test(event.key) && figures[row][event.key - 1];
  if (event.ctrlKey || event.metaKey || event.altKey || !(digit || keys[event.key])) return;
  event.preventDefault();
  digit ? go(digit) : keys[event.key]();
});
dialog.addEventListener("cancel", leave);
shown.addEventListener("click", event => flip(event.offsetX * 2 < shown.clientWidth ? -1 : 1));
for (const button of dialog.querySelectorAll("button"))
  button.addEventListener("click", () => button.value ? flip(Number(button.value)) : leave());
addEventListener("hashchange", follow);
follow();
"""


def view(anchor: str, title: str, source: bytes | Path, *below: Html) -> Html:
    """Make a picture that a click enlarges, with what stands below it."""
    return element("a", html.picture(source), *below, class_="view", id=anchor, href=f"#{anchor}", title=title)


def dialog() -> Html:
    """Make what `SCRIPT` shows them in; a page has one, behind its content."""
    buttons = [element("button", text, value=step) for text, step in (("\u2039", -1), ("\u203a", 1), ("close", ""))]
    keys = element("span", "\u2190 \u2192 or digits: flip, \u2191 \u2193: next figure, Esc: close", class_="muted")
    return element("dialog", element("div", element("strong"), *buttons, keys), element("img", alt=""))
