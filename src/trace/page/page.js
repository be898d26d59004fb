
'use strict';
// Names and attributes come from anybody: they only ever become text (textContent), never markup.
// A span is a list: depth, title, kind, state, waited for, start, length, notes, facts, events. Parents come first.
const [DEPTH, TITLE, KIND, STATE, WAITED, START, LENGTH, NOTES, FACTS, EVENTS] = Array(10).keys();
const HEIGHT = 24, MANY = 500;
const SIGNS = { reused: '↻', cached: '◆', skipped: '–', failed: '✗', cancelled: '■', ongoing: '▶' };
const data = JSON.parse(document.getElementById('data').textContent);
const at = id => document.getElementById(id);
let build, spans, rows, folded, hits, selected, from, to;

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

function time(ns) {
  if (ns < 999500) return Math.round(ns / 1e3) + ' µs';
  if (ns < 999.5e6) return Math.round(ns / 1e6) + ' ms';
  if (ns < 59.95e9) return (ns / 1e9).toFixed(ns < 9.995e9 ? 2 : 1) + ' s';
  const seconds = Math.round(ns / 1e9), two = number => String(number).padStart(2, '0');
  return seconds < 3600 ? `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s` : `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds / 60) % 60)}m`;
}

const hasParts = index => index + 1 < spans.length && spans[index + 1][DEPTH] > spans[index][DEPTH];
const words = span => [span[TITLE], span[NOTES], span[STATE], ...span[EVENTS], ...span[FACTS].flat()].join(' ').toLowerCase();

// Which spans have a row: what is not folded away, or what is found with all that is above it.
function arrange() {
  const wanted = at('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  rows = [];
  hits = null;
  if (wanted.length) {
    hits = new Set();
    const keep = new Set(), above = [];
    spans.forEach((span, index) => {
      while (above.length && spans[above.at(-1)][DEPTH] >= span[DEPTH]) above.pop();
      above.push(index);
      span.words ??= words(span);
      if (!wanted.every(word => span.words.includes(word))) return;
      hits.add(index);
      for (let place = above.length - 1; place >= 0 && !keep.has(above[place]); place--) keep.add(above[place]);
    });
    rows = [...keep].sort((a, b) => a - b);
  } else {
    for (let index = 0, until = Infinity; index < spans.length; index++) {
      if (spans[index][DEPTH] > until) continue;
      until = folded.has(index) ? spans[index][DEPTH] : Infinity;
      rows.push(index);
    }
  }
  at('hits').textContent = hits ? `${hits.size} of ${spans.length} spans` : `${spans.length} spans`;
  at('rows').style.height = rows.length * HEIGHT + 'px';
  draw();
}

// Only the rows that can be seen are there: a build may have 100,000.
function draw() {
  const list = at('list'), first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 5);
  const shown = rows.slice(first, first + Math.ceil(list.clientHeight / HEIGHT) + 10);
  at('rows').replaceChildren(...shown.map((index, place) => row(index, (first + place) * HEIGHT)));
}

function row(index, top) {
  const span = spans[index], parts = hasParts(index);
  const line = make('div', `row ${span[KIND]} ${span[STATE]}`);
  line.classList.toggle('selected', index === selected);
  line.classList.toggle('above', hits !== null && !hits.has(index));
  line.style.top = top + 'px';
  line.setAttribute('role', 'treeitem');
  line.setAttribute('aria-level', span[DEPTH] + 1);
  line.setAttribute('aria-selected', index === selected);
  if (parts) line.setAttribute('aria-expanded', hits !== null || !folded.has(index));
  const name = make('span', 'name');
  name.style.paddingLeft = Math.min(span[DEPTH], 16) * 14 + 'px';
  const twist = make('button', 'twist', parts ? (hits === null && folded.has(index) ? '▸' : '▾') : '');
  twist.tabIndex = -1;
  twist.onclick = event => { event.stopPropagation(); turn(index, folded.has(index)); };
  name.append(twist, make('span', 'sign', SIGNS[span[STATE]] ?? ''), make('b', '', span[TITLE]), make('i', '', span[NOTES]));
  const track = make('span', 'track'), bar = make('span', span[WAITED] ? 'bar waited' : 'bar');
  bar.style.left = (span[START] - from) / (to - from) * 100 + '%';
  bar.style.width = span[LENGTH] / (to - from) * 100 + '%';
  track.append(bar);
  line.append(name, make('span', 'time', (span[STATE] === 'ongoing' ? '>' : '') + time(span[LENGTH])), track);
  line.onclick = () => select(index);
  line.ondblclick = () => zoom(span[START], span[START] + span[LENGTH]);
  return line;
}

function turn(index, open) {
  if (!hasParts(index)) return;
  if (open) folded.delete(index); else folded.add(index);
  arrange();
}

function select(index) {
  selected = index;
  const span = spans[index], details = at('details'), table = make('table');
  const facts = [['state', span[STATE]], ['began after', time(span[START])], ['took', time(span[LENGTH])],
    ['build waited', span[WAITED] ? 'yes' : 'no'], ...span[FACTS], ...span[EVENTS].map(name => ['event', name])];
  for (const [name, value] of facts) {
    const line = make('tr');
    line.append(make('td', '', name), make('td', '', String(value)));
    table.append(line);
  }
  const close = make('button', '', 'Close'), closer = make('button', '', 'Zoom');
  close.onclick = () => { details.hidden = true; draw(); };
  closer.onclick = () => zoom(span[START], span[START] + span[LENGTH]);
  details.replaceChildren(make('h2', '', span[TITLE]), closer, ' ', close, table);
  details.hidden = false;
  draw();
}

function zoom(start, end) {
  [from, to] = [start, Math.max(end, start + 1)];
  at('whole').hidden = from === 0 && to >= build.length;
  const ticks = Array.from({ length: 5 }, (_, number) => {
    const tick = make('span', 'tick', time(from + (to - from) * number / 5));
    tick.style.left = number * 20 + '%';
    return tick;
  });
  at('axis').lastElementChild.replaceChildren(...ticks);
  draw();
}

function show(number) {
  build = data.builds[number];
  spans = build.spans;
  [folded, hits, rows, selected] = [new Set(), null, [], undefined];
  if (spans.length > MANY) spans.forEach((span, index) => span[DEPTH] > 1 && hasParts(index) && folded.add(index));
  const [headline, ...facts] = build.headline;
  document.title = at('headline').textContent = headline;
  at('facts').textContent = facts.join('\n');
  at('facts').className = build.result;
  at('details').hidden = true;
  at('list').scrollTop = 0;
  zoom(0, build.length);
  arrange();
}

data.builds.forEach((one, number) => at('builds').append(Object.assign(make('option', '', one.headline[0]), { value: number })));
at('builds').hidden = data.builds.length < 2;
at('builds').onchange = event => show(Number(event.target.value));
at('search').oninput = () => { at('list').scrollTop = 0; arrange(); };
at('fold').onclick = () => { spans.forEach((_, index) => hasParts(index) && folded.add(index)); arrange(); };
at('unfold').onclick = () => { folded.clear(); arrange(); };
at('whole').onclick = () => zoom(0, build.length);
at('list').onscroll = () => requestAnimationFrame(draw);
onresize = draw;
at('list').onkeydown = event => {
  const place = rows.indexOf(selected), move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move && rows.length) {
    const next = Math.min(Math.max(place + move, 0), rows.length - 1), list = at('list');
    list.scrollTop = Math.min(Math.max(list.scrollTop, (next + 1) * HEIGHT - list.clientHeight), next * HEIGHT);
    select(rows[next]);
  } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
    if (place >= 0) turn(selected, event.key === 'ArrowRight');
  } else return;
  event.preventDefault();
};
onkeydown = event => {
  if (event.key === '/' && event.target !== at('search')) { event.preventDefault(); at('search').focus(); }
};
if (data.bad.length) {
  at('bad').hidden = false;
  at('bad').textContent = [`${data.badCount} lines or spans could not be read:`, ...data.bad].join('\n');
}
show(data.builds.length - 1);
