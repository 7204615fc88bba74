/** Error numbers by name, as Linux has them. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** The numbers this code compares with. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EOPNOTSUPP: 95,
  EADDRNOTAVAIL: 99,
  ENOBUFS: 105,
} as const;

/** Names that share their number with the one Linux documents first. */
const SYNONYMS: ReadonlySet<string> = new Set(['EWOULDBLOCK', 'ENOTSUP', 'EDEADLOCK']);

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => !SYNONYMS.has(name))
    .map(([name, number]) => [number, name]),
);

/** The name of a (positive) error number: `EEXIST`; `E123` for one without a name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${String(errno)}`;
}

/** What the error number means, in words: `file already exists`. */
export function errnoMessage(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? 'unknown error';
}
