/** The order of names in tables. Pure. */

const COLLATOR = new Intl.Collator('en', { numeric: true });

/** As people count: h2 before h10. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return COLLATOR.compare(a.name, b.name);
}
