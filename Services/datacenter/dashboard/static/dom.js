// Makes elements, and brings what is shown up to date without replacing it, so that neither focus nor a click is lost.
// All text becomes text nodes: nothing that comes from outside is ever read as HTML.

const SVG = 'http://www.w3.org/2000/svg';

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An HTML element. */
export function h(tag, attributes, ...children) {
  return make(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  return make(document.createElementNS(SVG, tag), attributes, children);
}

/** A button that does what `actions` has under the name `act`; the other attributes say to what. */
export function button(text, act, attributes, ...more) {
  return h('button', { type: 'button', 'data-act': act, ...attributes }, text, ...more);
}

/** Have an element show these children. What is the same stays the same element. */
export function show(parent, ...children) {
  const wanted = children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
  morphChildren(parent, wanted.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
}

function morphChildren(parent, wanted) {
  let now = parent.firstChild;
  for (const next of wanted) {
    if (now && alike(now, next)) {
      morph(now, next);
      now = now.nextSibling;
    } else {
      const found = keyed(now, next);
      if (found) {
        parent.insertBefore(found, now);
        morph(found, next);
      } else {
        parent.insertBefore(next, now);
      }
    }
  }
  while (now) {
    const rest = now.nextSibling;
    now.remove();
    now = rest;
  }
}

function keyed(from, next) {
  if (!next.dataset || !next.dataset.key) return null;
  for (let one = from; one; one = one.nextSibling) if (alike(one, next)) return one;
  return null;
}

function alike(one, other) {
  const key = (node) => (node.dataset && node.dataset.key) || '';
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);
}

function morph(now, next) {
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && !kept(now, name)) now.removeAttribute(name);
  for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  if (now.tagName === 'SELECT' && now === document.activeElement) return;
  morphChildren(now, [...next.childNodes]);
}

/** What the user has done to an element, or CSP allows scripts only, stays. */
function kept(element, name) {
  return name === 'style' || (name === 'open' && element.tagName === 'DETAILS');
}
