// The key / goes to the search field; Enter and Escape leave it, so that the page's other keys work again.
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
  document.addEventListener("keydown", listen, true);
  return () => document.removeEventListener("keydown", listen, true);
}
