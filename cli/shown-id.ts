/** Ids as tables show them, typed again: the wire knows names and whole ids only. */
import { WeftError } from '../core/errors.js';
import { shortId } from './output/short-id.js';

/** No fewer digits than tables show: what is typed may be removed, and a short word could be the beginning of any id. */
const BEGINNING = /^[0-9a-f]{12,32}$/;

/** `id=` filters as tables show ids, with the dashes that whole ids have; other filters as they are. Pure. */
export function filtersOfShownIds(filters: readonly string[]): string[] {
  return filters.map((filter) => {
    const digits = /^id=([0-9a-f]{9,32})$/.exec(filter)?.[1];
    if (digits === undefined) return filter;
    const groups = [
      digits.slice(0, 8),
      digits.slice(8, 12),
      digits.slice(12, 16),
      digits.slice(16, 20),
      digits.slice(20),
    ];
    return `id=${groups.filter((group) => group !== '').join('-')}`;
  });
}

/**
 * Runs `body` with `typed`; where nothing is called that and exactly one of the ids begins with it, once more with that
 * id. A name always counts before an id that only begins so. Rejects as the first `body` did where no id is meant.
 */
export async function withShownId<T>(
  typed: string,
  ids: () => Promise<readonly { readonly id: string }[]>,
  body: (nameOrId: string) => Promise<T>,
): Promise<T> {
  try {
    return await body(typed);
  } catch (error) {
    const unknown = error instanceof WeftError && ['NOT_FOUND', 'INVALID_ARGUMENT'].includes(error.status);
    if (!unknown || !BEGINNING.test(typed)) throw error;
    const [found, ...others] = (await ids()).filter(({ id }) => shortId(id, typed.length) === typed);
    if (found === undefined || others.length > 0) throw error;
    return await body(found.id);
  }
}
