// Draws a Plotly figure in place. st.plotly_chart mounts a new chart whenever its figure changes, which loses the zoom
// and sends every point of a lasso; here Plotly.react keeps the zoom (uirevision) and only the outline is sent.
let loading;

function plotly(path) {
  loading ??= window.Plotly
    ? Promise.resolve(window.Plotly)
    : new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(path, document.baseURI).href;
        script.onload = () => resolve(window.Plotly);
        script.onerror = () => reject(new Error("plotly.js could not be loaded"));
        document.head.append(script);
      });
  return loading;
}

// A lasso of at most `most` corners, evenly thinned; what is sent is what is tested and drawn again.
function thin(values, most = 150) {
  const step = Math.max(1, Math.ceil(values.length / most));
  return values.filter((_, i) => i % step === 0).map((v) => Number(v.toPrecision(5)));
}

function listen(chart, send) {
  let dragged = false; // Plotly repeats a selection whenever it redraws one: only what a hand drew counts
  chart.on("plotly_selecting", () => {
    dragged = true;
  });
  chart.on("plotly_selected", (event) => {
    if (!dragged) return;
    dragged = false;
    if (event?.lassoPoints) send.area({ kind: "lasso", x: thin(event.lassoPoints.x), y: thin(event.lassoPoints.y) });
    else if (event?.range) send.area({ kind: "box", x: thin(event.range.x), y: thin(event.range.y) });
  });
  // Queries stay in sight, and what only explains the marks has nothing to hide.
  const fixed = new Set(["query", "key"]);
  const hides = ({ data, curveNumber }) => !fixed.has(data[curveNumber].meta);
  chart.on("plotly_legendclick", hides);
  chart.on("plotly_legenddoubleclick", hides);
  chart.on("plotly_deselect", () => send.area(null));
  const named = (event) => {
    const point = event.points.find((p) => p.customdata !== undefined);
    return point && { kind: point.data.meta, number: point.customdata };
  };
  chart.on("plotly_click", (event) => named(event) && send.point(named(event)));
}

export default function ({ data, parentElement, setTriggerValue }) {
  const chart = parentElement.querySelector(".winnow-map");
  const { data: traces, layout } = JSON.parse(data.figure);
  chart.style.height = `${layout.height}px`;
  const config = {
    responsive: true,
    scrollZoom: true,
    displaylogo: false,
    doubleClick: "reset",
    modeBarButtons: [["lasso2d", "select2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"], ["toImage"]],
    toImageButtonOptions: { filename: "winnow-map", scale: 2 },
  };
  let stale = false;
  plotly(data.plotly).then(
    (Plotly) => {
      if (stale) return;
      const first = !chart.classList.contains("js-plotly-plot");
      Plotly.react(chart, traces, layout, config).then(() => {
        chart.dataset.drawn = data.revision;
      });
      if (first)
        listen(chart, {
          area: (value) => setTriggerValue("area", value ?? { kind: "none", x: [], y: [] }),
          point: (value) => setTriggerValue("point", value),
        });
    },
    (error) => {
      chart.textContent = error.message;
    },
  );
  return () => {
    stale = true;
    setTimeout(() => chart.isConnected || window.Plotly?.purge(chart)); // gone for good: give its WebGL contexts back
  };
}
