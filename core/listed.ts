/** How a sentence names many things. */

const NAMED = 10;

/** Ten of what stands in the way, and how many more there are: `a, b and 3 more`. */
export function listed(names: readonly string[], separator = ', '): string {
  const more = names.length > NAMED ? ` and ${String(names.length - NAMED)} more` : '';
  return `${names.slice(0, NAMED).join(separator)}${more}`;
}
