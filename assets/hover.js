// Tells the server which point of the map the mouse rests on, so that the one line that is read is all that is sent.
export default function ({ setTriggerValue }) {
  let timer;
  const hear = ({ detail }) => {
    clearTimeout(timer);
    if (detail) timer = setTimeout(() => setTriggerValue("point", detail), 150);
  };
  window.addEventListener("winnow-hover", hear);
  return () => {
    clearTimeout(timer);
    window.removeEventListener("winnow-hover", hear);
  };
}
