import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipFromNumber } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint } from '../../core/model.js';
import type { KeyValue } from '../store/store.js';
import { Foreseen } from './foreseen.js';
import { putEndpoint, putHost, readObject } from './objects.js';

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?$/);
const labels = fc.dictionary(
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
    .filter((key) => !/[\p{Cc}\s=]/u.test(key) && key !== '__proto__'),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  { noNullPrototype: true },
);

/** Every endpoint that a request can ask for, as the rules make it. */
const endpoint: fc.Arbitrary<Endpoint> = fc
  .record({
    sandbox: name,
    aliases: fc.uniqueArray(name, { maxLength: 3 }),
    v4: fc.bigInt(0n, 2n ** 32n - 1n),
    v6: fc.option(fc.bigInt(2n ** 64n, 2n ** 128n - 1n)),
    labels,
    state: fc.constantFrom('pending', 'ready', 'removing'),
    createTimeMs: fc.nat({ max: 4_000_000_000_000 }),
    requestId: fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/),
  })
  .map(({ v4, v6, sandbox, ...fields }) => ({
    ...{ id: newEndpointId(), networkId: newNetworkId(), hostId: newHostId(), mac: randomMac() },
    ...{ sandbox, name: sandbox, revision: 0n, createRevision: 0n, ...fields },
    addresses: [ipFromNumber(4, v4), ...(v6 === null ? [] : [ipFromNumber(6, v6)])],
  }));

function brought(of: Endpoint, revision: bigint): KeyValue {
  const { key, value } = putEndpoint(of);
  return { key, value: Buffer.from(value), createRevision: 7n, modRevision: revision };
}

describe('what is foreseen', () => {
  it('is what would be read', () => {
    fc.assert(
      fc.property(endpoint, fc.bigInt(8n, 2n ** 62n), (each, revision) => {
        const foreseen = new Foreseen();
        foreseen.add([putEndpoint(each)]);
        const entry = brought(each, revision);
        expect(foreseen.take(entry)).toEqual(readObject(entry));
        expect(foreseen.size).toBe(0);
      }),
    );
  });

  it('is nothing for any other value, and stays until its own comes', () => {
    fc.assert(
      fc.property(endpoint, endpoint, (one, two) => {
        const other: Endpoint = { ...two, id: one.id, networkId: one.networkId };
        const foreseen = new Foreseen();
        foreseen.add([putEndpoint(one)]);
        expect(foreseen.take(brought(other, 9n))).toBeUndefined();
        expect(foreseen.take(brought(one, 10n))).toEqual(readObject(brought(one, 10n)));
        expect(foreseen.take(brought(one, 11n))).toBeUndefined();
      }),
    );
  });

  it('is forgotten when much was foreseen that never came', () => {
    const foreseen = new Foreseen(4);
    const made = fc.sample(endpoint, 40);
    for (const each of made) {
      foreseen.add([putEndpoint(each)]);
      expect(foreseen.size).toBeLessThanOrEqual(8);
    }
    const last = made.slice(-4).map((each) => foreseen.take(brought(each, 9n)));
    expect(last).not.toContain(undefined);
  });

  it('is endpoints only', () => {
    const foreseen = new Foreseen();
    const [vtep] = fc.sample(endpoint, 1).map(({ addresses }) => addresses[0]);
    if (vtep === undefined) throw new Error('an endpoint has an address');
    const host = { id: newHostId(), name: 'h1', vtep, number: 1, version: '', prefixes: [], declaredEpoch: '' };
    foreseen.add([putHost({ ...host, availability: 'active', absence: 'none', incarnation: 1, revision: 0n })]);
    expect(foreseen.size).toBe(0);
  });
});
