// What is wrong with how a page is shown here: a list of sentences, empty where nothing is.
(() => {
  const root = document.documentElement, wide = root.clientWidth, found = [];
  const SLACK = 0.5; // of a pixel: parts of letters are drawn beside their boxes
  const named = (node) => `<${node.tagName.toLowerCase()} class="${node.className}"> ${node.textContent.trim().slice(0, 60)}`;
  if (root.scrollWidth > wide) found.push(`the page is ${root.scrollWidth} px wide on a screen of ${wide}`);

  for (const node of document.body.querySelectorAll("*")) {
    if (node.tagName === "IMG" && !(node.complete && node.naturalWidth)) found.push("a picture is not shown");
    const box = node.getBoundingClientRect();
    if (!box.width) continue;
    if (box.right > wide + SLACK || box.left < -SLACK) found.push(`beyond the screen: ${named(node)}`);
    if (getComputedStyle(node).overflowX !== "visible" && node.scrollWidth > node.clientWidth) {
      found.push(`cut off by its own box: ${named(node)}`);
    }
  }

  // Each line of each text: nothing is beyond the screen or over another, no name ends a line with a hyphen.
  const lines = [], range = document.createRange();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    if (!text.data.trim()) continue;
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) {
      if (box.width) lines.push({ box, text, said: text.data.trim().slice(0, 60) });
      if (box.right > wide + SLACK || box.left < -SLACK) found.push(`text beyond the screen: ${text.data.slice(0, 60)}`);
    }
  }
  // a line's box is higher than its letters
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > Math.min(a.height, b.height) / 2;
  lines.forEach((one, place) => {
    for (const other of lines.slice(place + 1)) {
      if (over(one.box, other.box)) found.push(`one over the other: ${one.said} / ${other.said}`);
    }
  });

  const top = (text, place) => (range.setStart(text, place), range.setEnd(text, place + 1), range.getBoundingClientRect().top);
  for (const name of document.querySelectorAll(".name")) {
    const letters = [], inside = document.createTreeWalker(name, NodeFilter.SHOW_TEXT);
    for (let text; (text = inside.nextNode()); ) {
      for (let place = 0; place < text.length; place++) letters.push([text.data[place], top(text, place)]);
    }
    letters.forEach(([letter, height], place) => {
      const next = letters[place + 1];
      if (letter === "-" && next && next[1] > height + 4) found.push(`a line ends with a name's hyphen: ${named(name)}`);
    });
  }
  // Nor does a line begin with what ends a clause; after a long name, which is broken where the line is full, it may.
  for (let place = 1; place < lines.length; place++) {
    const [before, here] = [lines[place - 1], lines[place]];
    const [block, same] = [before, here].map((line) => line.text.parentNode.closest("p, li"));
    const name = before.text.parentNode.closest(".name");
    if (before.text === here.text || block !== same || (name && name.textContent.length > 24)) continue;
    const below = here.box.top > before.box.top + before.box.height / 2;
    if (below && /^[,.;:!?)，。；：！？）]/.test(here.text.data)) found.push(`a line begins with a mark: ${before.said}${here.said}`);
  }
  // What is typed as it stands there, and fits on a line, is on one.
  for (const short of document.querySelectorAll("code, .servers td, .servers th")) {
    range.selectNodeContents(short);
    const word = short.textContent.length < 11 && !/[ .@]/.test(short.textContent);
    if (word && range.getClientRects().length > 1) found.push(`a word is broken: ${named(short)}`);
  }
  return found;
})()
