/** What networks, hosts, sandboxes and their aliases may be called. */

/** Longest name in characters: a DNS label. */
const NAME_MAX = 63;

/**
 * Whether `text` can be a name: letters, digits, `-` and `_`, first and last a letter or a digit, at most 63
 * characters. No dots: every name is one DNS label, and `name.network` must stay readable in one way only.
 */
export function isName(text: string): boolean {
  return text.length <= NAME_MAX && /^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$/.test(text);
}

/** What a name is compared by: DNS does not tell upper from lower case, so neither does Weft. */
export function nameKey(name: string): string {
  return name.toLowerCase();
}

/** The sentence that tells somebody what a name may be. */
export const NAME_RULE = `a name has 1 to ${String(NAME_MAX)} letters, digits, - or _, and begins and ends with a letter or digit`;
