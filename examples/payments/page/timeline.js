// Draws orders as cards, and each request of one as a lane along the time since it went out.

import { runs } from './orders.js';
import { answers } from './words.js';

const list = document.getElementById('orders');
const still = matchMedia('(prefers-reduced-motion: reduce)');
/** A lane shows at least this much time, in ms. */
const SPAN = 1100;
/** More requests than this share one block of thin lanes. */
const LANES = 4;

const cards = new Set();

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Card {
  constructor(order) {
    this.order = order;
    this.node = element('li', 'card');
    this.node.dataset.order = order.number;
    const head = element('h3', '', `Order ${order.number}`);
    head.append(element('span', 'mode', order.handler), element('code', '', `key ${order.key}`));
    this.story = element('ol', 'story');
    this.node.append(head, this.story);
    document.getElementById('no-orders').hidden = true;
    list.prepend(this.node);
    this.lanes = [];
    cards.add(this);
  }

  /** Lanes for requests that go out together. */
  follow(requests) {
    const thin = requests.length > LANES;
    const block = element('li', thin ? 'lanes thin' : 'lanes');
    if (thin) {
      const label = element('span', 'label', `${requests.length} requests`);
      if (this.order.handler !== 'bare') {
        label.append(element('span', 'told-409', 'told 409'), element('span', 'replayed', 'got the answer'));
      }
      block.append(label);
    }
    const tracks = thin ? block.appendChild(element('span', 'tracks')) : block;
    this.story.append(block);
    requests.forEach(request => {
      const lane = new Lane(this.order, request, thin);
      tracks.append(lane.node);
      this.lanes.push(lane);
      request.changed = () => this.draw();
    });
    this.draw();
    animate();
  }

  /** A sentence on what came of it, which screen readers read out. */
  tell(tone, text) {
    if (tone !== 'aside') this.node.dataset.tone = tone;
    const said = element('li', `verdict ${tone}`);
    said.append(element('span', 'sign'), element('span', '', text));
    said.dataset.tone = tone;
    this.story.append(said);
    return said;
  }

  get moves() {
    return this.lanes.some(lane => lane.moves);
  }

  draw() {
    const now = performance.now();
    const span = Math.max(SPAN, ...this.lanes.map(lane => lane.end(now) - lane.request.sent));
    this.lanes.forEach(lane => lane.draw(now, span));
  }
}

class Lane {
  constructor(order, request, thin) {
    this.request = request;
    this.node = element('span', 'lane');
    this.track = element('span', 'track');
    this.track.setAttribute('aria-hidden', 'true');
    this.parts = {};
    for (const part of ['wait', 'run', 'window', 'charge', 'skip', 'ship', 'cut']) {
      this.parts[part] = this.track.appendChild(element('i', part));
      this.parts[part].hidden = true;
    }
    if (!thin) {
      this.node.append(element('span', 'label', request.label));
    }
    this.node.append(this.track);
    // What lies between a charge and a crash: made and not recorded, made in vain, or made and recorded.
    const rests = { reservation: 'the window', transaction: 'undone', steps: 'recorded' };
    this.rest = thin ? undefined : rests[order.handler];
    this.parts.window.textContent = this.rest ?? '';
    this.thin = thin;
    if (order.handler === 'transaction') this.node.classList.add('undoes');
    if (order.handler === 'steps') this.node.classList.add('keeps');
  }

  get moves() {
    return this.request.ended === null || runs(this.request);
  }

  end(now) {
    const { ended, at } = this.request;
    return this.moves ? now : Math.max(ended, at.finished ?? 0, at.dropped ?? 0);
  }

  draw(now, span) {
    const { sent, at, answer, ended } = this.request;
    const place = (part, from, to) => {
      const { style } = this.parts[part];
      this.parts[part].hidden = false;
      style.left = `${((from - sent) / span) * 100}%`;
      if (to !== undefined) style.width = `${((to - from) / span) * 100}%`;
    };
    place('wait', sent, ended ?? now);
    if (at.runs !== undefined) place('run', at.runs, runs(this.request) ? now : at.finished ?? at.dropped ?? ended);
    if (at.charged !== undefined) place('charge', at.charged);
    if (at['charge-skipped'] !== undefined && !this.thin) place('skip', at['charge-skipped']);
    if (at.shipped !== undefined && !this.thin) place('ship', at.shipped);
    if (this.rest && answer === 'lost' && at.charged !== undefined) place('window', at.charged, ended);
    if (answer === 'lost' || answer === 'gone') place('cut', ended);
    if (answer !== null && this.node.dataset.answer === undefined) {
      this.node.dataset.answer = answer;
      if (!this.thin) this.node.append(element('span', 'answer', answers[answer] ?? answer));
    }
  }
}

let animating = false;

/** Draws on while something moves; with reduced motion, lanes change with what happens only. */
function animate() {
  if (animating || still.matches) return;
  animating = true;
  const frame = () => {
    const moving = [...cards].filter(card => card.moves);
    moving.forEach(card => card.draw());
    animating = moving.length > 0;
    if (animating) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
