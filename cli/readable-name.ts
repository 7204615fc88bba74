/** Names for sandboxes that nobody named: short, readable aloud, and hardly ever met twice. */
import { randomInt } from 'node:crypto';

const QUALITIES = [
  ...['amber', 'brisk', 'calm', 'clear', 'cosy', 'crisp', 'dapper', 'eager', 'fair', 'fleet', 'gentle', 'glad'],
  ...['hardy', 'keen', 'kind', 'light', 'lively', 'mellow', 'merry', 'neat', 'nimble', 'plain', 'quick', 'quiet'],
  ...['ready', 'sage', 'sharp', 'sleek', 'snug', 'solid', 'spry', 'steady', 'still', 'sunny', 'swift', 'warm'],
];

/** What comes off a loom, and what made it. */
const THINGS = [
  ...['baize', 'batik', 'bobbin', 'brocade', 'burlap', 'calico', 'canvas', 'chintz', 'corduroy', 'cotton', 'crepe'],
  ...['damask', 'denim', 'felt', 'flannel', 'gauze', 'gingham', 'hemp', 'jersey', 'linen', 'loden', 'loom', 'muslin'],
  ...[
    'plaid',
    'poplin',
    'satin',
    'serge',
    'shuttle',
    'silk',
    'spindle',
    'tartan',
    'thread',
    'tweed',
    'twill',
    'velvet',
  ],
];

/** Such as `quiet-linen-3f9a`. */
export function readableName(): string {
  const pick = (words: readonly string[]): string => words[randomInt(words.length)] ?? '';
  return `${pick(QUALITIES)}-${pick(THINGS)}-${randomInt(0x10000).toString(16).padStart(4, '0')}`;
}
