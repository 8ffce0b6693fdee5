// On both pages: save a figure as a file of its own, with the colours it has on the page.
"use strict";

(() => {
  const SCALE = 2; // a PNG has twice the pixels of the figure's own size: sharp in print and slides

  const download = (content, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // Firefox reads it a moment later
  };

  // A file has no style sheet: it gets the page's colours of now, a background and a size.
  const standalone = (svg, scale) => {
    const colours = getComputedStyle(document.documentElement);
    const { x, y, width, height } = svg.viewBox.baseVal;
    const copy = svg.cloneNode(true);
    const ground = document.createElementNS(svg.namespaceURI, "rect");
    const set = (element, values) => {
      for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
    };
    set(ground, { x, y, width, height, fill: "var(--card)" });
    copy.prepend(ground);
    set(copy, { width: scale * width, height: scale * height });
    const text = new XMLSerializer()
      .serializeToString(copy)
      .replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
    return new Blob([text], { type: "image/svg+xml" });
  };

  const toPng = async (svg) => {
    const image = new Image();
    image.src = URL.createObjectURL(svg);
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    URL.revokeObjectURL(image.src);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  };

  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", async () => {
      const { save, name } = button.dataset;
      const svg = standalone(button.closest("figure").querySelector("svg"), save === "png" ? SCALE : 1);
      download(save === "png" ? await toPng(svg) : svg, `${name}.${save}`);
    });
  }
})();
