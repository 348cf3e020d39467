// The key / goes to the search field; Enter and Escape leave it, so that the page's other keys work again.
// A dialog that opens has its first field ready to be typed into, or the page's keys would take the words.
function typing(target) {
  return target.closest?.("input, textarea, [contenteditable=true]");
}

export default function () {
  const listen = (event) => {
    const field = document.querySelector(".st-key-curate-search input");
    if (!field) return;
    if (event.target === field && ["Enter", "Escape"].includes(event.key)) setTimeout(() => field.blur());
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    event.preventDefault();
    field.focus();
    field.select();
  };
  const enter = ({ target }, tries = 100) => {
    if (!target.matches?.("[role=dialog]") || document.activeElement !== target) return;
    const field = target.querySelector("textarea, input");
    if (field) field.focus();
    else if (tries) setTimeout(enter, 20, { target }, tries - 1); // its content is still on the way
  };
  document.addEventListener("keydown", listen, true);
  document.addEventListener("focusin", enter);
  return () => {
    document.removeEventListener("keydown", listen, true);
    document.removeEventListener("focusin", enter);
  };
}
