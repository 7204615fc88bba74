import { describe, expect, it } from 'vitest';
import { Declaration } from '../../proto/gen/weft/v1/agent_sync.js';
import { testEndpoint, testNetwork } from '../state/testing.js';
import { declarationOf } from './declaration.js';

/** What a controller takes in one message. */
const MESSAGE_BYTES = 4 * 1024 * 1024;

const endpoints = (count: number, labels: Readonly<Record<string, string>>) =>
  Array.from({ length: count }, (_, at) => ({
    ...testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: `s${String(at)}` }),
    labels,
  }));

describe('what a host says it runs', () => {
  it('is one message where it fits into one', () => {
    const parts = declarationOf({ networks: [testNetwork(1)], endpoints: endpoints(3, {}) }, 'e2');
    expect(parts).toMatchObject([{ epoch: 'e2', networks: [{ name: 'net1' }], more: false }]);
    expect(parts[0]?.endpoints).toHaveLength(3);
    expect(declarationOf({ networks: [], endpoints: [] }, 'e2')).toEqual([
      { epoch: 'e2', networks: [], endpoints: [], more: false },
    ]);
  });

  it('is several where it is more than a controller takes, all of it once and in order', () => {
    const labels = Object.fromEntries(Array.from({ length: 15 }, (_, at) => [`l${String(at)}`, 'x'.repeat(1_000)]));
    const all = endpoints(600, labels);
    const parts = declarationOf({ networks: [testNetwork(1), testNetwork(2)], endpoints: all }, 'e2');
    expect(parts.length).toBeGreaterThan(2);
    expect(parts.map(({ more }) => more)).toEqual(parts.map((_, at) => at < parts.length - 1));
    for (const part of parts) expect(Declaration.encode(part).finish().length).toBeLessThan(MESSAGE_BYTES);
    expect(parts.flatMap((part) => part.networks)).toHaveLength(2);
    expect(parts.flatMap((part) => part.endpoints.map(({ sandbox }) => sandbox))).toEqual(
      all.map(({ sandbox }) => sandbox),
    );
  });
});
