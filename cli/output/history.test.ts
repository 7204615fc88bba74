import { describe, expect, it } from 'vitest';
import { AddressHolding } from '../../proto/gen/weft/v1/endpoint.js';
import { renderHistory } from './history.js';
import { timeWord } from './times.js';

const ID = '3f2a91c0-b7de-4c6f-9a53-0d6f1c1b2a3c';

describe('renderHistory', () => {
  it('has who holds it now, and who did before', () => {
    const holdings = [
      AddressHolding.fromPartial({
        ...{ address: '10.1.0.2', network: 'web', sandbox: 'shop', host: 'h2' },
        ...{ fromRevision: 60n, fromTime: new Date('2026-01-02T03:05:00.250Z') },
      }),
      AddressHolding.fromPartial({
        ...{ address: '10.1.0.2', networkId: ID, sandbox: 'till', hostId: ID },
        ...{ fromRevision: 45n, fromTime: new Date('2026-01-02T03:04:05Z'), untilRevision: 58n },
      }),
    ];
    expect(renderHistory(holdings)).toBe(
      [
        'ADDRESS    NETWORK        SANDBOX   HOST           FROM (REVISION)             UNTIL (REVISION)',
        '10.1.0.2   web            shop      h2             2026-01-02 03:05:00Z (60)   now',
        '10.1.0.2   3f2a91c0b7de   till      3f2a91c0b7de   2026-01-02 03:04:05Z (45)   - (58)',
      ].join('\n'),
    );
  });

  it('shows its heads over nobody', () => {
    expect(renderHistory([])).toBe('ADDRESS   NETWORK   SANDBOX   HOST   FROM (REVISION)   UNTIL (REVISION)');
  });
});

describe('timeWord', () => {
  it.each([
    [undefined, '-'],
    [new Date(Number.NaN), '-'],
    [new Date('2026-12-31T23:59:59.999Z'), '2026-12-31 23:59:59Z'],
  ])('%s is %s', (time, word) => {
    expect(timeWord(time)).toBe(word);
  });
});
