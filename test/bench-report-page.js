// Runs in a browser, on a page or a picture of the bench's report: what a reader would see of it.
(() => {
  const visibleText = [...document.querySelectorAll('body *, svg text, svg tspan')].filter(
    (element) =>
      [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== '') &&
      !['STYLE', 'SCRIPT', 'CAPTION', 'style'].includes(element.tagName),
  );
  const boxOf = (element) => element.getBoundingClientRect();
  const nameOf = (element) => element.textContent.trim().slice(0, 60);
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
  const isWithin = (inner, outer, slack) =>
    inner.left >= outer.left - slack &&
    inner.right <= outer.right + slack &&
    inner.top >= outer.top - slack &&
    inner.bottom <= outer.bottom + slack;

  // WCAG 2.2, "relative luminance" and "contrast ratio".
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = channels(color).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const isOpaque = (color) => color.startsWith('rgb') && (channels(color)[3] ?? 1) === 1;
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      // A picture that stands alone paints its own background.
      const own = at.tagName === 'svg' && at.parentElement === null ? at.querySelector('rect') : null;
      const color = own === null ? getComputedStyle(at).backgroundColor : getComputedStyle(own).fill;
      if (isOpaque(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const contrast = (element) => {
    const { color, fill } = getComputedStyle(element);
    const [a, b] = [element.closest('svg') === null ? color : fill, behind(element)].map(luminance);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };

  const plotFaults = (svg) => {
    const frame = boxOf(svg);
    // Vega leaves labels without room in place, unseen.
    const texts = [...svg.querySelectorAll('text')].filter((text) => getComputedStyle(text).opacity !== '0');
    const things = [...texts, ...svg.querySelectorAll('.role-legend-symbol path')];
    const area = boxOf(svg.querySelector('.mark-group.role-frame .background'));
    const points = [...svg.querySelectorAll('.mark-symbol.role-mark path')];
    return [
      ...texts.filter((text) => !isWithin(boxOf(text), frame, 1)).map((text) => `cut off: ${nameOf(text)}`),
      ...texts
        .flatMap((text, i) =>
          things
            .slice(i + 1)
            .filter((thing) => overlap(boxOf(text), boxOf(thing)))
            .map((thing) => [text, thing]),
        )
        .map(([text, thing]) => `${nameOf(text)} overlaps ${nameOf(thing) || 'a symbol of the legend'}`),
      ...points
        .map((point) => boxOf(point))
        .filter(({ left, right, top, bottom }) => {
          const [x, y] = [(left + right) / 2, (top + bottom) / 2];
          return left === right || !isWithin({ left: x, right: x, top: y, bottom: y }, area, 1);
        })
        .map(({ left, top }) => `a point outside of the plot or empty: ${left}, ${top}`),
    ];
  };

  return {
    lowContrast: visibleText
      .map((element) => ({ text: nameOf(element), contrast: contrast(element) }))
      .filter((each) => !(each.contrast >= 4.5)),
    tinyText: visibleText
      .filter((element) => {
        const shrunk = element.ownerSVGElement?.getScreenCTM()?.a ?? 1;
        return Number.parseFloat(getComputedStyle(element).fontSize) * shrunk < 10;
      })
      .map(nameOf),
    checkedTexts: visibleText.length,
    scrollsSideways: document.documentElement.scrollWidth > window.innerWidth,
    plots: [...document.querySelectorAll('svg')].map((svg) => ({
      label: svg.getAttribute('aria-label'),
      role: svg.getAttribute('role'),
      width: boxOf(svg).width,
      height: boxOf(svg).height,
      points: svg.querySelectorAll('.mark-symbol.role-mark path').length,
      lines: svg.querySelectorAll('.mark-line path').length,
      bars: svg.querySelectorAll('.mark-rule.role-mark line').length,
      faults: plotFaults(svg),
    })),
    tables: [...document.querySelectorAll('table')].map((table) => {
      const box = table.parentElement;
      return {
        isInItsBox: boxOf(box).right <= window.innerWidth && getComputedStyle(box).overflowX === 'auto',
        rows: table.rows.length,
        isCut: [...table.querySelectorAll('th, td, small, b')].some(
          (cell) => cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth > 0,
        ),
      };
    }),
  };
})();
