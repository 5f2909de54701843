// What of a page of the site cannot be read: wider than the screen, or cut off. Tables and code may be moved sideways.
(() => {
  const wide = document.documentElement.clientWidth
  const said = []
  const named = (node) => `${node.localName}.${node.className}: ${node.textContent.trim().slice(0, 60)}`
  const moves = (node) => {
    for (let each = node; each && each !== document.body; each = each.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(each).overflowX)) return true
    return false
  }
  const shownOnly = (node) => node.getClientRects().length && getComputedStyle(node).visibility === "visible"
  if (document.documentElement.scrollWidth > wide) said.push(`the page is ${document.documentElement.scrollWidth} px wide`)
  for (const node of document.querySelectorAll("article, article *")) {
    // what is there for screen readers alone, and the sign behind a heading
    if (!shownOnly(node) || node.closest(".visually-hidden, .headerlink, svg")) continue
    const box = node.getBoundingClientRect()
    if (!moves(node) && (box.right > wide + 1 || box.left < -1)) said.push(`beyond the screen: ${named(node)}`)
    const style = getComputedStyle(node)
    if (["hidden", "clip"].includes(style.overflowX) && node.scrollWidth > node.clientWidth + 1)
      said.push(`cut off by its own box: ${named(node)}`)
    if (node.localName === "img" && !(node.complete && node.naturalWidth)) said.push(`a picture is not shown: ${node.src}`)
  }
  return said.slice(0, 20)
})()
