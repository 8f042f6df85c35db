/** One bar each, with what it stands for and its value. */
export interface Bars {
  title: string;
  unit: string;
  bars: readonly { name: string; value: number }[];
}

const width = 720;
const label = 170;
const row = 24;

/** Groups of horizontal bars below each other as SVG, each group on a scale of its own. */
export function barPlot(groups: readonly Bars[]): string {
  let y = 8;
  const parts: string[] = [];
  for (const { title, unit, bars } of groups) {
    parts.push(text(8, (y += 18), `${title} (${unit})`, 'font-weight="bold"'));
    const most = Math.max(...bars.map(({ value }) => value));
    for (const { name, value } of bars) {
      const length = ((width - label - 90) * value) / most;
      y += row;
      parts.push(text(label - 8, y, name, 'text-anchor="end"'));
      parts.push(`<rect x="${label}" y="${y - 13}" width="${length.toFixed(1)}" height="17" fill="#4477aa"/>`);
      parts.push(text(label + length + 6, y, value.toPrecision(3)));
    }
    y += row;
  }
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="13">`;
  return `${head}\n<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`;
}

const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y}" ${more}>${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`;
