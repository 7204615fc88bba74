/** `npm run demo`: the main job on this machine, every claim a check with its figure. Exit status 0 only if all held. */
import { constants } from 'node:os';
import colours from 'picocolors';
import { isAborted } from '../../core/lifetime.js';
import { Lab } from '../lab/lab.js';
import { labDirectory } from '../lab/layout.js';
import { Reporter } from './reporter.js';
import {
  allReachAll,
  areApart,
  createNetwork,
  createSandbox,
  hostsAreReady,
  namesResolve,
  nothingIsLeft,
  removeAll,
  restartLosesNothing,
  type Box,
} from './steps.js';

const LAB = 'demo';
const WEB: readonly Box[] = [
  { host: 'h1', name: 'web1' },
  { host: 'h2', name: 'web2' },
  { host: 'h3', name: 'web3' },
];
const DB: readonly Box[] = [
  { host: 'h1', name: 'db1' },
  { host: 'h3', name: 'db3' },
];

/** Returns the exit status, 128 + n where signal n interrupted it. `--hold` leaves the lab up. */
export async function main(argv: readonly string[]): Promise<number> {
  const unknown = argv.filter((word) => word !== '--hold');
  if (unknown.length > 0) {
    process.stderr.write(`demo: unknown argument ${unknown.join(' ')}; there is only --hold\n`);
    return 2;
  }
  const hold = argv.includes('--hold');
  const reporter = new Reporter();
  const interrupted = new AbortController();
  let signalled = 0;
  const interrupt = (name: 'SIGINT' | 'SIGTERM'): void => {
    signalled = constants.signals[name];
    interrupted.abort(new Error('interrupted'));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const { signal } = interrupted;
  let held = false;
  try {
    const lab = await bringUp(reporter, signal);
    if (lab !== undefined) await show(lab, reporter, { hold, signal });
    held = hold && lab !== undefined && !isAborted(signal);
  } finally {
    if (!held) await takeDown(reporter);
  }
  const allHeld = conclude(reporter, isAborted(signal));
  if (held) sayWhatNext(reporter);
  if (signalled > 0) return 128 + signalled;
  return allHeld ? 0 : 1;
}

/** Prints the verdict; whether every check held. */
function conclude(reporter: Reporter, interrupted: boolean): boolean {
  const { outcomes } = reporter;
  const failed = outcomes.filter(({ ok }) => !ok).map(({ title }) => title);
  const held = failed.length === 0 && !interrupted;
  const failures = `${String(failed.length)} of ${String(outcomes.length)} checks failed: ${failed.join('; ')}`;
  if (held) reporter.heading(colours.green(`all ${String(outcomes.length)} checks held`));
  else reporter.heading(colours.red(interrupted ? 'interrupted' : failures));
  return held;
}

async function bringUp(reporter: Reporter, signal: AbortSignal): Promise<Lab | undefined> {
  reporter.heading('A lab on this machine: three hosts and a controller with its own etcd');
  // A lab of this name can only be an earlier demo's.
  await Lab.down(LAB);
  let lab: Lab | undefined;
  await reporter.step('the lab is up', async (progress) => {
    lab = await Lab.up({
      name: LAB,
      hosts: 3,
      signal,
      onProgress: ({ step }) => {
        progress(step);
      },
    });
    return `${lab.hosts.map(({ name }) => name).join(', ')} and c1 on 192.0.2.0/24`;
  });
  return lab;
}

async function show(lab: Lab, reporter: Reporter, options: { hold: boolean; signal: AbortSignal }): Promise<void> {
  const check = async (title: string, work: (progress: (text: string) => void) => Promise<string>): Promise<void> => {
    if (!isAborted(options.signal)) await reporter.step(title, work);
  };
  const heading = (text: string): void => {
    if (!isAborted(options.signal)) reporter.heading(text);
  };
  await check('every host follows the controller', () => hostsAreReady(lab));

  heading('Two overlay networks');
  await check('network web, IPv4 and IPv6', () =>
    createNetwork(lab, 'web', '--subnet', '10.7.0.0/24', '--subnet', '2001:db8:7::/64'),
  );
  await check('network db, its subnet from the pool', () => createNetwork(lab, 'db'));
  for (const box of WEB)
    await check(`sandbox ${box.name} on ${box.host}, in web`, () => createSandbox(lab, box, 'web'));
  for (const box of DB) await check(`sandbox ${box.name} on ${box.host}, in db`, () => createSandbox(lab, box, 'db'));

  heading('Reach');
  await check('ping across hosts, IPv4', () => allReachAll(lab, WEB, 4));
  await check('ping across hosts, IPv6', () => allReachAll(lab, WEB, 6));
  await check('names across hosts', () => namesResolve(lab, WEB, 'web'));
  const [web1, web2] = WEB;
  const [db1, db3] = DB;
  if (web1 === undefined || web2 === undefined || db1 === undefined || db3 === undefined) throw new Error('no boxes');
  await check('web cannot reach db', () => areApart(lab, web1, db1, db3));
  await check('db cannot reach web', () => areApart(lab, db1, web1, web2));

  heading('An agent restarted under traffic');
  await check('ping every 10 ms while the agent on h2 restarts', (progress) =>
    restartLosesNothing(lab, { from: web1, to: web2 }, progress),
  );
  if (options.hold) return;

  heading('Everything removed');
  await check('sandboxes and networks removed', () => removeAll(lab, [...WEB, ...DB], ['web', 'db']));
  await check('nothing left in any kernel or in etcd', () => nothingIsLeft(lab));
}

async function takeDown(reporter: Reporter): Promise<void> {
  await reporter.step('the lab is down', async () => {
    await Lab.down(LAB);
    return `${labDirectory(LAB)} is gone`;
  });
}

function sayWhatNext(reporter: Reporter): void {
  reporter.heading('The lab stays up. Try:');
  for (const line of [
    'bin/weft lab exec --lab demo h1 -- weft status',
    'bin/weft lab exec --lab demo h1 -- weft exec web1 -- ping web3',
    'bin/weft lab exec --lab demo h2 -- weft run --network web -- getent hosts web1 web3',
    'bin/weft lab exec --lab demo h1 -- ip netns exec weft-s-web1 ip address',
    'bin/weft lab down --lab demo',
  ]) {
    reporter.note(line);
  }
}
