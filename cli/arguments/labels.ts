/** K=V options. */
import { invalid, WeftError } from '../../core/errors.js';

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

/** Driver options that exist; others are refused rather than ignored. */
const DRIVER_OPTIONS: readonly string[] = ['mtu'];

/** `-o K=V`. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseDriverOptions(options: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    options.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new WeftError(invalid('-o', `${JSON.stringify(text)} is not KEY=VALUE`));
      const key = text.slice(0, at);
      if (!DRIVER_OPTIONS.includes(key)) {
        throw new WeftError({
          reason: 'OPTION_NOT_BUILT',
          message: `-o ${text}: there is no such option of a network yet; there is ${DRIVER_OPTIONS.join(', ')}`,
        });
      }
      return [key, text.slice(at + 1)];
    }),
  );
}
