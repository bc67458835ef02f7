"use strict";
// Sorts the table of classes, filters the list of videos, and draws a video's timelines and strips
// when it is opened. Texts from files go through textContent alone.

const NAMES = JSON.parse(document.getElementById("names").textContent);

// Okabe and Ito's colours; further ones repeat them with a pattern.
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#bbbbbb"];
const DARK = new Set(["#0072b2"]);

const colourOf = (number) => COLOURS[number % COLOURS.length];
const patternOf = (number) => Math.floor(number / COLOURS.length) % 3;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function read(id) {
  const found = document.getElementById(id);
  return found && JSON.parse(found.textContent);
}

// The table of classes ------------------------------------------------------------------------

for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const numeric = head.classList.contains("number");
      const value = (row) => row.cells[column].dataset.value ?? "";
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
        return sign * (numeric ? x - y : x.localeCompare(y));
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

// The list of videos --------------------------------------------------------------------------

const list = document.getElementById("video-list");
const videos = [...list.children];
const nameInput = document.getElementById("filter-name");
const causeSelect = document.getElementById("filter-cause");
const sortSelect = document.getElementById("sort-videos");

function filterVideos() {
  const name = nameInput.value.toLowerCase();
  const cause = causeSelect.value;
  let shown = 0;
  for (const video of videos) {
    const causes = video.dataset.causes.split(";");
    const fits = video.dataset.name.includes(name) && (!cause || causes.includes(cause));
    video.hidden = !fits;
    shown += fits;
  }
  document.getElementById("num-videos").textContent = `${shown} of ${videos.length} videos`;
}

function sortVideos() {
  const key = sortSelect.value || "rank";
  const sign = key === "switches" || key === "frames" ? -1 : 1;
  const value = (video) => (video.dataset[key] === "" ? Infinity : sign * Number(video.dataset[key]));
  // Two that are not known differ by NaN, which falls to their ranks.
  const compare = (a, b) => value(a) - value(b) || a.dataset.rank - b.dataset.rank;
  list.append(...[...videos].sort(compare));
}

document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
nameInput.addEventListener("input", filterVideos);
causeSelect.addEventListener("change", filterVideos);
sortSelect.addEventListener("change", sortVideos);
filterVideos();
sortVideos(); // a browser may remember what was chosen

// "toggle" comes in a task of its own, once for each change, by mouse, key or script.
for (const video of videos) {
  video.addEventListener("toggle", () => {
    const body = video.querySelector(".body");
    if (video.open && !body.hasChildNodes()) fill(body, video.dataset.id);
  });
}

function openNamed() {
  const video = document.getElementById(location.hash.slice(1));
  if (video?.classList.contains("video")) video.open = true;
}
addEventListener("hashchange", openNamed);
openNamed();

function fill(body, id) {
  const results = read(`video-${id}`);
  if (!results) {
    body.append(element("p", {}, "Left out to keep the page small."));
    return;
  }
  body.append(...timelines(results));
  results.forEach((one, which) => {
    for (const moment of one.moments) body.append(strip(moment, which, results.length));
  });
}

// Timelines -----------------------------------------------------------------------------------

function timelines(results) {
  const frames = results[0].frames;
  const made = [];
  const cursors = [];
  results.forEach((one, which) => {
    if (results.length > 1) {
      made.push(element("h4", {}, element("span", { class: `result r${which}` }, NAMES[which])));
    }
    const lanes = element("div", { class: "lanes" });
    for (const truth of one.truths) lanes.append(...truthLane(truth, one, frames, cursors));
    for (const track of one.tracks) lanes.append(...trackLane(track, one, frames, cursors));
    made.push(lanes);
    if (one.hidden) made.push(element("p", { class: "small" }, `${one.hidden} other tracks are not listed: weak, empty, or beyond the thirty that matter most.`));
    if (!one.truths.length) made.push(element("p", { class: "small" }, "This video has no truth."));
  });
  return [cursor(results, frames, cursors), ...made];
}

function part(kind, [first, last], frames, text = "") {
  const made = element("span", { class: kind }, text);
  made.style.left = `${(100 * first) / frames}%`;
  made.style.width = `${(100 * (last + 1 - first)) / frames}%`;
  return made;
}

function coloured(made, number) {
  const colour = colourOf(number);
  made.style.color = DARK.has(colour) ? "#fff" : "#000";
  const stripe = "rgba(0, 0, 0, .35)";
  made.style.background = [
    colour,
    `repeating-linear-gradient(45deg, ${stripe} 0 2px, transparent 2px 7px), ${colour}`,
    `radial-gradient(circle, ${stripe} 1.5px, transparent 2px) 0 0 / 6px 6px, ${colour}`,
  ][patternOf(number)];
  return made;
}

function lane(label, cursors) {
  const now = element("span", { class: "now" });
  const made = element("div", { class: "lane" }, now);
  cursors.push(now);
  return [element("div", { class: "label" }, label), made];
}

function truthLane(truth, video, frames, cursors) {
  const length = (spans) => spans.reduce((sum, [first, last]) => sum + last + 1 - first, 0);
  const share = `${length(truth.found)} of ${length(truth.present)} frames`;
  const label = `${truth.name} ${truth.annotation}: ${truth.outcome}, found in ${share}`;
  const made = lane(label, cursors);
  for (const span of truth.present) made[1].append(part("present", span, frames));
  for (const [first, last, track] of truth.found) {
    made[1].append(coloured(part("run", [first, last], frames, track), colourIn(video, track)));
  }
  for (const frame of truth.switches) {
    const mark = part("switch", [frame, frame], frames, "▼");
    mark.style.width = "";
    mark.title = `identity switch in frame ${frame}`;
    made[1].append(mark);
  }
  return made;
}

function trackLane(track, video, frames, cursors) {
  const why = track.kind ? `${track.outcome}, ${track.kind}` : track.outcome;
  const made = lane(`track ${track.track}: ${track.name} ${track.score.toFixed(2)}, ${why}`, cursors);
  for (const span of track.shown) {
    made[1].append(coloured(part("run", span, frames, track.drawn_as), track.colour));
  }
  return made;
}

function colourIn(video, drawnAs) {
  return video.tracks.find((one) => one.drawn_as === drawnAs)?.colour ?? video.truths.length;
}

// A slider: arrows, Home, End and Page keys move it as the browser does.
function cursor(results, frames, cursors) {
  const slider = element("input", { type: "range", min: 0, max: frames - 1, value: 0, "aria-label": "Frame" });
  const told = element("p", { class: "told" });
  const switches = [...new Set(results.flatMap((one) => one.truths.flatMap((truth) => truth.switches)))];
  switches.sort((a, b) => a - b);
  const show = () => {
    const frame = Number(slider.value);
    for (const now of cursors) now.style.left = `${(100 * (frame + 0.5)) / frames}%`;
    told.textContent = tell(results, frame);
    slider.setAttribute("aria-valuetext", `frame ${frame} of ${frames}: ${told.textContent}`);
  };
  const jump = (found) => {
    if (found === undefined) return;
    slider.value = found;
    show();
  };
  const before = element("button", { type: "button" }, "◀ switch");
  const after = element("button", { type: "button" }, "switch ▶");
  before.addEventListener("click", () => jump(switches.findLast((frame) => frame < slider.value)));
  after.addEventListener("click", () => jump(switches.find((frame) => frame > slider.value)));
  before.disabled = after.disabled = !switches.length;
  slider.addEventListener("input", show);
  show();
  return element("div", { class: "cursor" }, before, slider, after, told);
}

function tell(results, frame) {
  const inside = ([first, last]) => first <= frame && frame <= last;
  const parts = results.map((one, which) => {
    const truths = one.truths.filter((truth) => truth.present.some(inside)).map((truth) => {
      const run = truth.found.find(inside);
      const switched = truth.switches.includes(frame) ? ", a switch" : "";
      return `${truth.name} ${truth.annotation}: ${run ? `track ${run[2]}` : "not found"}${switched}`;
    });
    const name = results.length > 1 ? `${NAMES[which]}: ` : "";
    return name + (truths.join("; ") || "no truth");
  });
  return `Frame ${frame}. ${parts.join(". ")}.`;
}

// Strips --------------------------------------------------------------------------------------

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "300px" },
);

function strip(moment, which, numResults) {
  const title = element("figcaption");
  if (numResults > 1) title.append(element("span", { class: `result r${which}` }, NAMES[which]), " ");
  title.append(moment.text);
  const figure = element("figure", { class: "strip" }, title);
  if (moment.strip === null) {
    figure.append(element("p", { class: "small" }, `Frames ${moment.frames.join(", ")}; no strip of them is in this page.`));
  } else {
    figure.dataset.strip = moment.strip;
    figure.style.minHeight = "120px";
    seen.observe(figure);
  }
  return figure;
}

async function draw(figure) {
  const { size, frames } = read(`strip-${figure.dataset.strip}`);
  // Small frames are enlarged, to hold numbers.
  const scale = Math.max(1, Math.min(Math.ceil(320 / size[1]), Math.floor(640 / Math.max(...size))));
  const grid = element("div", { class: "frames", tabindex: 0, role: "group", "aria-label": figure.textContent });
  grid.style.gridTemplateColumns = `minmax(3.2rem, 6rem) repeat(${frames.length}, max-content)`;
  grid.append(element("span"), ...frames.map((frame) => element("span", { class: "at" }, `frame ${frame.index}`)));
  const canvases = ["truth", ...NAMES].map((name, row) => {
    grid.append(element("span", { class: "row" }, name));
    return frames.map((frame) => {
      const shown = frame.rows[row].map((shape) => shape[1]).join("; ") || "nothing";
      const label = `${name}, frame ${frame.index}: ${shown}`;
      const canvas = element("canvas", { height: scale * size[0], width: scale * size[1], role: "img", "aria-label": label });
      canvas.title = label;
      grid.append(canvas);
      return canvas;
    });
  });
  figure.append(grid, ...keys(frames));
  for (const fault of new Set(frames.map((frame) => frame.fault))) {
    if (fault) figure.append(element("p", { class: "small" }, fault));
  }
  await Promise.all(frames.map(async (frame, column) => {
    const picture = frame.jpeg && (await decoded(frame.jpeg));
    canvases.forEach((row, which) => paint(row[column], scale, picture, frame.rows[which]));
  }));
  figure.dataset.drawn = "";
}

// What the colours of a strip are, row by row.
function keys(frames) {
  return ["truth", ...NAMES].map((name, row) => {
    const made = element("p", { class: "keys" }, `${name}: `);
    const shown = new Map(frames.flatMap((frame) => frame.rows[row].map(([number, text]) => [text, number])));
    for (const [text, number] of shown) made.append(element("span", {}, coloured(element("i"), number), text));
    return made;
  });
}

async function decoded(jpeg) {
  const picture = new Image();
  picture.src = `data:image/jpeg;base64,${jpeg}`;
  await picture.decode();
  return picture;
}

function paint(canvas, scale, picture, shapes) {
  const [width, height] = [canvas.width / scale, canvas.height / scale];
  const small = element("canvas", { width, height });
  const context = small.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#777";
  context.fillRect(0, 0, width, height);
  if (picture) context.drawImage(picture, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  const centres = shapes.map(([number, , counts]) => {
    const mask = decodedMask(counts, height, width);
    blend(image.data, mask, height, width, number);
    return centreOf(mask, height);
  });
  context.putImageData(image, 0, 0);
  const large = canvas.getContext("2d");
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
  Object.assign(large, { font: "bold 14px sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 3, strokeStyle: "#000", fillStyle: "#fff" });
  shapes.forEach(([, name], place) => {
    const text = name.split(" ").pop();
    const [x, y] = centres[place].map((side) => scale * side);
    large.strokeText(text, x, y);
    large.fillText(text, x, y);
  });
}

function centreOf(mask, height) {
  let [x, y, number] = [0, 0, 0];
  mask.forEach((inside, place) => {
    if (!inside) return;
    x += Math.floor(place / height) + 0.5;
    y += (place % height) + 0.5;
    number++;
  });
  return [x / number, y / number];
}

// COCO's compressed run lengths, down the columns: six bits a character from "0" on, of which one
// says that more follow; from the fourth on, a number is the difference to the last but one.
function decodedMask(text, height, width) {
  const mask = new Uint8Array(height * width); // column by column
  const counts = [];
  let place = 0;
  let end = 0;
  while (place < text.length) {
    let value = 0;
    let shift = 0;
    let bits;
    do {
      bits = text.charCodeAt(place++) - 48;
      value |= (bits & 31) << shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16) value |= -1 << shift;
    if (counts.length > 2) value += counts[counts.length - 2];
    if (counts.length % 2) mask.fill(1, end, end + value);
    end += value;
    counts.push(value);
  }
  return mask;
}

function blend(data, mask, height, width, number) {
  const colour = colourOf(number);
  const rgb = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  const pattern = patternOf(number);
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[x * height + y];
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (!mask[x * height + y]) continue;
      const edge = !(inside(x - 1, y) && inside(x + 1, y) && inside(x, y - 1) && inside(x, y + 1));
      const open = (pattern === 1 && (x + y) % 8 < 3) || (pattern === 2 && x % 6 < 3 && y % 6 < 3);
      const opacity = edge ? 1 : open ? 0.15 : 0.5;
      const at = 4 * (y * width + x);
      for (let c = 0; c < 3; c++) data[at + c] = (1 - opacity) * data[at + c] + opacity * rgb[c];
    }
  }
}
