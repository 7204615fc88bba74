import { describe, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';
import { hostId, networkId, viewOf, type TestNetwork } from './view.testing.js';
import { Names } from './view.js';

const backend: TestNetwork = {
  name: 'backend',
  subnets: ['10.1.0.0/24 10.1.0.1'],
  endpoints: [
    { sandbox: 'app', addresses: ['10.1.0.2'] },
    { sandbox: 'db', addresses: ['10.1.0.10'], aliases: ['Postgres', 'DB'] },
    { sandbox: 'db', addresses: ['10.1.0.9'], host: 2 },
    { sandbox: 'old', addresses: ['10.1.0.5'], aliases: ['postgres'], state: 'removing' },
    { sandbox: 'young', addresses: ['10.1.0.6'], state: 'pending' },
  ],
};
const frontend: TestNetwork = {
  name: 'Frontend',
  subnets: ['10.2.0.0/24 10.2.0.1'],
  endpoints: [{ sandbox: 'app', addresses: ['10.2.0.2'] }],
};
const aside: TestNetwork = {
  name: 'aside',
  subnets: ['10.3.0.0/24 10.3.0.1'],
  // The same sandbox name on another host is another sandbox.
  endpoints: [{ sandbox: 'app', addresses: ['10.3.0.2'], host: 2 }],
};

const seen = (names: Names, network: number, address: string): string[] =>
  names.seenBy({ networkId: networkId(network), address: parseIp(address) }).map((zone) => zone.network.name);

describe('a zone', () => {
  const [zone] = new Names(viewOf(backend)).seenBy({ networkId: networkId(1), address: undefined });

  it('has the addresses of every endpoint of a name and an alias, in the order of their numbers', () => {
    expect(zone?.addressesOf('db', 4)).toEqual(['10.1.0.9', '10.1.0.10']);
    expect(zone?.addressesOf('postgres', 4)).toEqual(['10.1.0.10']);
  });

  it('has the names of pending endpoints, and not of those being removed', () => {
    expect(zone?.has('young')).toBe(true);
    expect(zone?.has('old')).toBe(false);
  });

  it('tells a family without addresses from a name without endpoints', () => {
    expect(zone?.addressesOf('db', 6)).toEqual([]);
    expect(zone?.has('db')).toBe(true);
    expect(zone?.has('nobody')).toBe(false);
  });
});

describe('who sees what', () => {
  const names = new Names(viewOf(backend, frontend, aside));

  it('is the network asked, then the other networks of the asking sandbox on this host', () => {
    expect(seen(names, 1, '10.1.0.2')).toEqual(['backend', 'Frontend']);
    expect(seen(names, 2, '10.2.0.2')).toEqual(['Frontend', 'backend']);
    expect(seen(names, 1, '10.1.0.10')).toEqual(['backend']);
  });

  it('is the network asked alone for an address that no endpoint has, and nothing for a network not known here', () => {
    expect(seen(names, 1, '10.1.0.200')).toEqual(['backend']);
    expect(seen(names, 9, '10.1.0.2')).toEqual([]);
  });

  it('holds for an endpoint that is being removed', () => {
    expect(seen(names, 1, '10.1.0.5')).toEqual(['backend']);
  });
});

describe('names of endpoints on a host that nobody hears from', () => {
  const view = viewOf(backend);
  const [here, there] = ['10.1.0.10', '10.1.0.9'];
  const zoneOf = (names: Names) => names.seenBy({ networkId: networkId(1), address: undefined })[0];
  const answer = (names: Names) => [zoneOf(names)?.has('db'), zoneOf(names)?.addressesOf('db', 4)];

  it('have no addresses there, and are names all the same', () => {
    const all = new Names(view);
    expect(answer(all)).toEqual([true, [there, here]]);
    const some = new Names(view, { unreachable: new Set([hostId(2)]), previous: all });
    expect(answer(some)).toEqual([true, [here]]);
    const none = new Names(view, { unreachable: new Set([hostId(1), hostId(2)]), previous: some });
    expect(answer(none)).toEqual([true, []]);
    // Whoever asks from there is known all the same.
    expect(seen(none, 1, there)).toEqual(['backend']);
    expect(answer(new Names(view, { previous: none }))).toEqual(answer(all));
  });

  it('of no network that has no endpoint there are made anew', () => {
    const all = new Names(view);
    expect(zoneOf(new Names(view, { unreachable: new Set([hostId(9)]), previous: all }))).toBe(zoneOf(all));
  });
});

describe('names of a later view', () => {
  it('keep the zones of networks that did not change', () => {
    const before = viewOf(backend, frontend);
    const first = new Names(before);
    const changed = viewOf(backend, { ...frontend, endpoints: [] });
    const after = new Map([...changed, ...[...before].slice(0, 1)]);
    const second = new Names(after, { previous: first });
    const asked = (names: Names, network: number) =>
      names.seenBy({ networkId: networkId(network), address: undefined })[0];
    expect(asked(second, 1)).toBe(asked(first, 1));
    expect(asked(second, 2)).not.toBe(asked(first, 2));
    expect(asked(second, 2)?.has('app')).toBe(false);
  });
});
