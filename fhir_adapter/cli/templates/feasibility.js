// Attrition in the reader's order, counted here from how many people share each combination.
"use strict";
(() => {
  const held = document.getElementById("combinations");
  if (!held) return;
  const combinations = JSON.parse(held.textContent);
  const table = document.getElementById("attrition-1");
  const body = table.tBodies[0];
  const said = document.getElementById("said");
  const protocol = Array.from(body.rows);
  const judged = combinations.reduce((sum, pair) => sum + pair[1], 0);
  const against = protocol.map((row) => {
    const place = Number(row.dataset.place);
    return combinations.reduce((sum, pair) => sum + (pair[0][place] === "a" ? pair[1] : 0), 0);
  });
  const write = new Intl.NumberFormat("en");
  const say = (cell, count) => { cell.textContent = write.format(count); };

  function count() {
    const worst = new Uint8Array(combinations.length);
    let last = 0;
    for (const row of body.rows) {
      const place = Number(row.dataset.place);
      const sums = [0, 0, 0];
      combinations.forEach((pair, number) => {
        const colour = "foa".indexOf(pair[0][place]);
        if (colour > worst[number]) worst[number] = colour;
        sums[worst[number]] += pair[1];
      });
      if (sums[0] + sums[1] + sums[2] !== judged) throw new Error("counts do not add up");
      draw(row, sums, sums[2] - last);
      last = sums[2];
    }
  }

  function draw(row, sums, lost) {
    ["fits", "open", "against"].forEach((name, n) => say(row.querySelector("." + name), sums[n]));
    row.querySelector(".lost").textContent = lost ? write.format(lost) : "";
    const svg = row.querySelector("svg");
    svg.replaceChildren();
    let x = 0;
    ["fits", "open", "against"].forEach((name, n) => {
      const width = judged ? (100 * sums[n]) / judged : 0;
      const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      part.setAttribute("class", "p-" + name);
      part.setAttribute("x", x);
      part.setAttribute("width", width);
      part.setAttribute("height", 10);
      svg.append(part);
      x += width;
    });
  }

  function arrange(rows, words) {
    body.append(...rows);
    count();
    said.textContent = words;
  }

  function move(row, step) {
    const rows = Array.from(body.rows);
    const from = rows.indexOf(row);
    const to = from + step;
    if (to < 0 || to >= rows.length) return;
    rows.splice(to, 0, rows.splice(from, 1)[0]);
    rows.forEach((one) => one.classList.toggle("moved", one === row));
    arrange(rows, row.dataset.name + " is number " + (to + 1) + " of " + rows.length);
  }

  body.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    move(button.closest("tr"), Number(button.dataset.step));
    button.focus();
  });
  document.getElementById("order-protocol").addEventListener("click", () => {
    arrange(protocol, "Protocol order");
  });
  document.getElementById("order-most").addEventListener("click", () => {
    const order = protocol.map((row, n) => [against[n], row]);
    arrange(order.sort((a, b) => b[0] - a[0]).map((pair) => pair[1]), "Most restrictive first");
  });
  document.querySelectorAll("[hidden].move, [hidden].mover").forEach((one) => { one.hidden = false; });
})();
