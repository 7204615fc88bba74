import { Counter, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { serveMetrics } from './metrics-server.js';

describe('the pages of a daemon', () => {
  it('are metrics, that it lives, and whether it can do its work', async () => {
    const registry = new Registry();
    new Counter({ name: 'things_total', help: 'Things', registers: [registry] }).inc(3);
    const reasons: string[] = [];
    await using server = await serveMetrics({ registry, host: '127.0.0.1', port: 0, unready: () => reasons });
    const get = async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${String(server.port)}${path}`, { method });
      return [response.status, await response.text()];
    };
    expect(await get('/metrics')).toEqual([200, expect.stringContaining('things_total 3')]);
    expect(await get('/livez')).toEqual([200, 'ok\n']);
    expect(await get('/readyz')).toEqual([200, 'ok\n']);
    reasons.push('the store does not answer', 'a restore is not through');
    expect(await get('/readyz')).toEqual([503, 'the store does not answer\na restore is not through\n']);
    expect(await get('/livez')).toEqual([200, 'ok\n']);
    expect((await get('/elsewhere'))[0]).toBe(404);
    expect((await get('/readyz', 'POST'))[0]).toBe(404);
  });
});
