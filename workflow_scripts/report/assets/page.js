// On both pages: save a chart as an SVG file of its own, with the colours it has on the page.
"use strict";

for (const button of document.querySelectorAll(".save-svg")) {
  button.addEventListener("click", () => {
    const svg = button.parentElement.querySelector("svg");
    const colours = getComputedStyle(document.documentElement);
    const text = new XMLSerializer()
      .serializeToString(svg)
      .replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = `${button.dataset.name.replace(/[^\w-]+/g, "-")}.svg`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
