/** Tables for people: aligned columns without borders, as `docker network ls` prints them. */
import Table from 'cli-table3';

const NO_BORDERS = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((part) => [part, '']),
);

/** Lines without a newline at the end. Heads stand in upper case, also over no rows. */
export function renderTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...heads],
    chars: NO_BORDERS,
    // No colours of the library's own: colours are the caller's, and only on a terminal.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 3 },
  });
  for (const row of rows) table.push([...row]);
  return trimLines(table.toString());
}

/** Name and value pairs, the values aligned. */
export function renderPairs(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return trimLines(pairs.map(([name, value]) => `${name.padEnd(width)}   ${value}`).join('\n'));
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `items` in one cell. */
export function listCell(items: readonly string[]): string {
  return items.length === 0 ? '-' : items.join(', ');
}
