(function () {
  "use strict";
  var holder = document.getElementById("charts");
  var charts = holder && window.Plotly ? JSON.parse(holder.textContent) : [];
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function look() {
    var style = getComputedStyle(document.documentElement);
    var ink = style.getPropertyValue("--soft").trim();
    var paper = style.getPropertyValue("--paper").trim();
    return { ink: ink, paper: paper, text: style.getPropertyValue("--ink").trim() };
  }

  function layoutOf(chart) {
    var now = look();
    return Object.assign({
      height: chart.height,
      margin: { l: 62, r: 14, t: 30, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", size: 12.5, color: now.ink },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: now.ink, activecolor: now.text },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: now.paper, bordercolor: now.ink, font: { color: now.text } }
    }, chart.layout);
  }

  var config = { responsive: true, displayModeBar: "hover", displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  function draw() {
    charts.forEach(function (chart) {
      window.Plotly.react(chart.id, chart.data, layoutOf(chart), config);
    });
  }
  draw();
  dark.addEventListener("change", draw);

  function valueOf(cell) {
    var text = cell ? cell.textContent.trim() : "";
    var number = parseFloat(text.replace(/−/g, "-").replace(/[,%\s]/g, ""));
    return cell && cell.classList.contains("n") ? (isNaN(number) ? -Infinity : number) : text.toLowerCase();
  }
  document.querySelectorAll("table.sortable thead th").forEach(function (head) {
    head.addEventListener("click", function () {
      var table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
      var order = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      table.querySelectorAll("thead th").forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
      Array.from(body.rows).sort(function (a, b) {
        var x = valueOf(a.cells[column]), y = valueOf(b.cells[column]);
        return (x < y ? -1 : x > y ? 1 : 0) * order;
      }).forEach(function (row) { body.appendChild(row); });
    });
  });
})();
