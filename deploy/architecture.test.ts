import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

/** rule: [file, the line in it that breaks the rule]. */
const BROKEN: Readonly<Record<string, readonly [file: string, line: string]>> = {
  'no-circle': ['core/round-again.ts', "export { b } from './round.js';"],
  'daemons-apart': ['agent/sync/a.ts', "export { b } from '../../controller/domain/b.js';"],
  'core-stands-alone': ['core/a.ts', "export { b } from '../proto/b.js';"],
  'core-without-io': ['core/io.ts', "export { readFileSync } from 'node:fs';"],
  'daemon-basics-are-for-daemons': ['cli/log.ts', "export { b } from '../core/daemon/b.js';"],
  'proto-knows-the-core-only': ['proto/a.ts', "export { b } from '../agent/kernel/b.js';"],
  'cli-is-a-client': ['cli/a.ts', "export { b } from '../controller/domain/b.js';"],
  'lab-has-one-face': ['cli/commands/network.ts', "export { b } from '../../e2e/lab/b.js';"],
  'lab-runs-the-real-thing': ['e2e/lab/a.ts', "export { b } from '../../agent/kernel/b.js';"],
  'simulated-agents-are-agents': ['e2e/simulated/a.ts', "export { b } from '../../controller/domain/b.js';"],
  'no-tests-in-production': ['controller/api/a.ts', "export { b } from '../../bench/b.js';"],
  'tests-are-leaves': ['bench/a.ts', "export { b } from '../core/b.test.js';"],
  'koffi-in-one-file': ['agent/kernel/netlink.ts', "export { load } from 'koffi';"],
  'etcd3-in-the-store': ['controller/api/etcd.ts', "export { Etcd3 } from 'etcd3';"],
  'grpc-at-the-edges': ['controller/fanout/a.ts', "export { status } from '@grpc/grpc-js';"],
  'domain-is-pure': ['controller/domain/a.ts', "export { b } from '../store/etcd.js';"],
  'drivers-are-pure': ['agent/drivers/a.ts', "export { b } from '../kernel/b.js';"],
  'state-is-pure-folding': ['agent/state/a.ts', "export { writeFileSync } from 'node:fs';"],
  'declared-packages': ['core/undeclared.ts', "export { lookup } from 'undeclared';"],
  'no-dev-packages-in-production': ['core/dev.ts', "export { format } from 'prettier';"],
  resolvable: ['core/nowhere.ts', "export { b } from './nowhere-at-all.js';"],
  'rooms-controller-api': ['controller/api/upward.ts', "export { b } from '../main.js';"],
  'rooms-controller-upkeep': ['controller/upkeep/upward.ts', "export { b } from '../api/b.js';"],
  'rooms-controller-backup': ['controller/backup/upward.ts', "export { b } from '../api/b.js';"],
  'rooms-controller-liveness': ['controller/liveness/upward.ts', "export { b } from '../api/b.js';"],
  'rooms-controller-commit': ['controller/commit/across.ts', "export { b } from '../fanout/b.js';"],
  'rooms-controller-events': ['controller/events/across.ts', "export { b } from '../fanout/b.js';"],
  'rooms-controller-etcd': ['controller/etcd/upward.ts', "export { b } from '../domain/b.js';"],
  'rooms-controller-fanout': ['controller/fanout/upward.ts', "export { b } from '../api/b.js';"],
  'rooms-controller-domain': ['controller/domain/upward.ts', "export { b } from '../fanout/b.js';"],
  'rooms-controller-cache': ['controller/cache/upward.ts', "export { b } from '../domain/b.js';"],
  'rooms-controller-store': ['controller/store/upward.ts', "export { b } from '../cache/b.js';"],
  'rooms-controller-identity': ['controller/identity/upward.ts', "export { b } from '../store/etcd.js';"],
  'rooms-agent-reconcile': ['agent/reconcile/across.ts', "export { b } from '../runtimes/b.js';"],
  'rooms-agent-runtimes': ['agent/runtimes/upward.ts', "export { b } from '../main.js';"],
  'rooms-agent-drivers': ['agent/drivers/across.ts', "export { b } from '../sandbox/b.js';"],
  'rooms-agent-sandbox': ['agent/sandbox/upward.ts', "export { b } from '../reconcile/b.js';"],
  'rooms-agent-tables': ['agent/tables/upward.ts', "export { b } from '../drivers/b.js';"],
  'rooms-agent-dns': ['agent/dns/upward.ts', "export { b } from '../tables/b.js';"],
  'rooms-agent-balance': ['agent/balance/across.ts', "export { b } from '../dns/b.js';"],
  'rooms-agent-sync': ['agent/sync/upward.ts', "export { b } from '../reconcile/b.js';"],
  'rooms-agent-kernel': ['agent/kernel/upward.ts', "export { b } from '../tables/b.js';"],
  'rooms-agent-state': ['agent/state/upward.ts', "export { b } from '../kernel/b.js';"],
};

/** What must stay allowed: a rule that refuses everything proves nothing. */
const ALLOWED: readonly (readonly [file: string, line: string])[] = [
  ['agent/kernel/ffi.ts', "export { load } from 'koffi';"],
  ['agent/drivers/typed.ts', "export type { B } from '../kernel/b.js';"],
  ['agent/reconcile/downward.ts', "export { b } from '../kernel/b.js';"],
  ['agent/main.ts', "export { b } from './reconcile/b.js';"],
  ['controller/main.ts', "export { b } from './api/b.js';"],
  ['controller/store/client.ts', "export { Etcd3 } from 'etcd3';"],
  ['controller/api/serve.ts', "export { status } from '@grpc/grpc-js';"],
  ['cli/commands/lab.ts', "export { b } from '../../e2e/lab/b.js';"],
  ['core/c.test.ts', "export { it } from 'vitest';"],
  ['e2e/simulated/agent.ts', "export { b } from '../../agent/sync/b.js';"],
];

/** Where the lines above point to. */
const TARGETS = [
  ...['core/b.ts', 'core/b.test.ts', 'core/daemon/b.ts', 'proto/b.ts', 'bench/b.ts', 'e2e/lab/b.ts'],
  ...['controller/store/etcd.ts'],
  ...['api', 'fanout', 'domain', 'cache'].map((room) => `controller/${room}/b.ts`),
  ...['reconcile', 'runtimes', 'drivers', 'sandbox', 'tables', 'dns', 'kernel', 'sync'].map(
    (room) => `agent/${room}/b.ts`,
  ),
];

interface Report {
  readonly summary: {
    readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[];
  };
}

describe('the architecture rules', () => {
  const fixture = mkdtempSync(join(tmpdir(), 'weft-architecture-'));
  const place = (file: string, text: string) => {
    mkdirSync(dirname(join(fixture, file)), { recursive: true });
    writeFileSync(join(fixture, file), `${text}\n`);
  };
  const cruise = (output: string, folders: readonly string[]) =>
    spawnSync(
      process.execPath,
      [
        join(CHECKOUT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'),
        ...['--config', join(CHECKOUT, '.dependency-cruiser.cjs'), '--output-type', output],
        ...folders,
      ],
      { cwd: fixture, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, timeout: 60_000 },
    );
  let violations: Report['summary']['violations'];

  beforeAll(() => {
    place(
      'package.json',
      JSON.stringify({
        type: 'module',
        dependencies: { koffi: '*', etcd3: '*', '@grpc/grpc-js': '*' },
        devDependencies: { prettier: '*', vitest: '*' },
      }),
    );
    place('tsconfig.json', '{"compilerOptions":{"module":"NodeNext","target":"ES2023"}}');
    for (const file of TARGETS) place(file, 'export const b = 1;\nexport type B = typeof b;');
    place('core/round.ts', "export { b } from './round-again.js';");
    for (const [file, line] of [...Object.values(BROKEN), ...ALLOWED]) place(file, line);
    for (const name of ['koffi', 'etcd3', '@grpc/grpc-js', 'prettier', 'vitest', 'undeclared']) {
      place(`node_modules/${name}/package.json`, `{"name":"${name}","version":"1.0.0","main":"index.js"}`);
      place(`node_modules/${name}/index.js`, '');
    }
    const run = cruise('json', ['agent', 'bench', 'cli', 'controller', 'core', 'e2e', 'proto']);
    violations = (JSON.parse(run.stdout) as Report).summary.violations;
  });

  afterAll(() => {
    rmSync(fixture, { recursive: true, force: true });
  });

  it('fail the check, and say why', () => {
    const run = cruise('err-long', ['core']);
    expect(run.status).not.toBe(0);
    expect(run.stdout).toContain('core/ decides and never acts');
  });

  it('are each broken by an example here', () => {
    expect(Object.keys(BROKEN).sort()).toEqual(ruleNames().sort());
  });

  it.each(Object.entries(BROKEN))('%s bites', (rule, [file]) => {
    expect(violations.filter(({ from }) => from === file).map((violation) => violation.rule.name)).toContain(rule);
  });

  it.each(ALLOWED)('%s may say: %s', (file) => {
    expect(violations.filter(({ from }) => from === file)).toEqual([]);
  });
});

function ruleNames(): string[] {
  const config = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as { forbidden: { name: string }[] };
  return config.forbidden.map(({ name }) => name);
}
