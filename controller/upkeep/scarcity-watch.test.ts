import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Endpoint, Host } from '../../core/model.js';
import { Operator, wish } from '../domain/network.testing.js';
import { ScarcityWatch } from './scarcity-watch.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';

let brain: Brain;
let operator: Operator;
let host: Host;
let lines: string[];
let held: Endpoint[];
let counted: number;
beforeEach(async () => {
  brain = await openBrain(new MemoryStore(), { quarantineMs: 0 });
  operator = new Operator(brain);
  host = await operator.host(1);
  lines = [];
  held = [];
  counted = -1;
});
afterEach(async () => {
  await brain[Symbol.asyncDispose]();
});

const watch = (): ScarcityWatch => {
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const observer = { counted: (networks: number) => void (counted = networks) };
  return new ScarcityWatch({ cache: brain.cache, log, observer, gatherMs: 1 });
};
const said = (): string[] => lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
const fill = async (id: Parameters<Operator['attach']>[0], count: number): Promise<void> => {
  while (held.length < count) held.push(await operator.attach(id, host, { sandbox: `s${String(held.length)}` }));
  while (held.length > count) {
    const last = held.pop();
    if (last !== undefined) await operator.detach(last);
  }
};

describe('networks that run out of addresses', () => {
  it('are told of once at 90 %, and again only after they were below 85 %', async () => {
    // 27 addresses: 24.3 are 90 %, 22.95 are 85 %.
    const { id } = await operator.create({
      name: 'web',
      subnets: [wish('10.1.0.0/27', { aux: { a: '10.1.0.30', b: '10.1.0.29' } })],
    });
    using scarcity = watch();
    const steps: [number, number, number][] = [
      [24, 0, 0],
      [25, 1, 1],
      [27, 1, 1],
      [23, 1, 1],
      [25, 1, 1],
      [22, 0, 1],
      [24, 0, 1],
      [25, 1, 2],
    ];
    for (const [count, warnings, told] of steps) {
      await fill(id, count);
      expect([count, scarcity.warnings().length, said().length]).toEqual([count, warnings, told]);
      expect(counted).toBe(warnings);
    }
    const figures = '25 of 27 IPv4 addresses are held, 2 are free';
    expect(said()[0]).toContain(`network web is running out of addresses: ${figures}`);
    expect(scarcity.warnings()).toEqual([
      {
        ...{ reason: 'ADDRESSES_SCARCE', object: 'network web' },
        message: expect.stringContaining(figures) as string,
      },
    ]);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ network: 'web', family: 4, total: 27, used: 25, free: 2 });
    await operator.update(id, {
      subnets: [wish('10.1.0.0/26', { aux: { a: '10.1.0.30', b: '10.1.0.29' } })],
    });
    expect(scarcity.warnings()).toEqual([]);
  });

  it('are told of by themselves, each family, and the scarcest first; and not when they are gone', async () => {
    using scarcity = watch();
    const wide = await operator.create({ name: 'wide', subnets: [wish('10.1.0.0/24', { ipRange: '10.1.0.16/28' })] });
    await fill(wide.id, 15);
    const both = await operator.create({ name: 'both', subnets: [wish('10.2.0.0/30'), wish('fd01::/126')] });
    const only = await operator.attach(both.id, host, { sandbox: 'x' });
    await expect.poll(() => said().length, { timeout: 2_000, interval: 5 }).toBe(2);
    expect(scarcity.warnings().map(({ object, message }) => `${object}: ${message.slice(0, 20)}`)).toEqual([
      'network both: 1 of 1 IPv4 addresse',
      'network wide: 15 of 16 IPv4 addres',
    ]);
    await operator.detach(only);
    await operator.remove(both.id);
    expect(scarcity.warnings()).toHaveLength(1);
    expect(counted).toBe(1);
  });

  it('are found among those that were there before', async () => {
    const { id } = await operator.create({ subnets: [wish('10.1.0.0/30')] });
    await fill(id, 1);
    const scarcity = watch();
    await expect.poll(() => said().length, { timeout: 2_000, interval: 5 }).toBe(1);
    scarcity[Symbol.dispose]();
    scarcity[Symbol.dispose]();
    await fill(id, 0);
    await fill(id, 1);
    expect(scarcity.warnings()).toHaveLength(1);
    expect(said()).toHaveLength(1);
  });
});
