/** K=V options. */
import { invalid, WeftError } from '../../core/errors.js';
import { isOptionViolations, parseNetworkOptions } from '../../core/network-options.js';

/** Commander's collector for an option that may stand several times. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

/** `--label K=V`; a label without `=` has an empty value, as with Docker. The last of one key counts. Throws WeftError. */
export function parseLabels(labels: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    labels.map((text) => {
      const at = text.indexOf('=');
      const key = at < 0 ? text : text.slice(0, at);
      if (key === '') throw new WeftError(invalid('--label', `${JSON.stringify(text)} has no key; write KEY=VALUE`));
      return [key, at < 0 ? '' : text.slice(at + 1)];
    }),
  );
}

/** `-o K=V`, which the rules of a network's options allow. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseDriverOptions(options: readonly string[] = []): Record<string, string> {
  const parsed = Object.fromEntries(
    options.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new WeftError(invalid('-o', `${JSON.stringify(text)} is not KEY=VALUE`));
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  const read = parseNetworkOptions(parsed);
  if (isOptionViolations(read)) {
    throw new WeftError({
      reason: read.some(({ notBuilt }) => notBuilt) ? 'OPTION_NOT_BUILT' : 'ARGUMENT_INVALID',
      message: read.map(({ field, description }) => `${field}: ${description}`).join('; '),
      violations: read,
    });
  }
  return parsed;
}
