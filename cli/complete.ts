/** `weft complete -- WORDS...`: what the completion scripts ask at each TAB. Names come from the cluster, where it answers. */
import tab from '@bomb.sh/tab/commander';
import { resolveGlobals } from './globals.js';
import { Invocation } from './invocation.js';
import { fillIn, makeProgram } from './program.js';
import type { Surroundings } from './surroundings.js';

/** A shell waits for this: names that take longer are not offered. */
const NAMES_TIMEOUT_MS = 1000;

const TAB_SCRIPT = 'completion-script';

/** In the scripts' protocol, the directive without a bit set: offer what the shell itself would, which is files. */
const SHELL_COMPLETES_FILES = ':0\n';

/** What can stand in an argument or an option of this name. */
const KINDS: readonly string[] = ['network', 'sandbox', 'host'];

/** Answers one question on stdout; says nothing of what goes wrong, because nobody asked for that. `words`: the line so far. */
export async function complete(words: readonly string[], outer: Surroundings): Promise<number> {
  const invocation = new Invocation(resolveGlobals({}, outer.env, outer.homeDir), outer);
  const silent = { write: () => undefined, isTty: false };
  const surroundings = { ...outer, stdout: silent, stderr: silent };
  const program = makeProgram(surroundings);
  const watcher = { started: () => undefined, ended: () => undefined };
  await fillIn(program, undefined, { surroundings, watcher });
  // tab adds a command for its script; ours has the better name, and is offered.
  const root = tab(program, { completionCommandName: TAB_SCRIPT });
  root.commands.delete(TAB_SCRIPT);
  const [noun = '', verb = ''] = words.filter((word) => !word.startsWith('-'));
  const called = root.commands.get(`${noun} ${verb}`) ?? root.commands.get(noun);
  if (called?.arguments.has('file') === true && words.at(-1)?.startsWith('-') === false) {
    outer.stdout.write(SHELL_COMPLETES_FILES);
    return 0;
  }
  for (const kind of KINDS) {
    const places = [called?.arguments.get(kind), called?.options.get(kind)].filter((place) => place !== undefined);
    if (places.length === 0) continue;
    const names = await namesOf(kind, invocation).catch(() => []);
    for (const place of places) {
      place.handler = (offer) => {
        for (const name of names) offer(name, '');
      };
    }
  }
  root.parse([...words]);
  return 0;
}

async function namesOf(kind: string, invocation: Invocation): Promise<string[]> {
  const limits = { timeoutMs: NAMES_TIMEOUT_MS };
  const firstPage = { pageSize: 0, pageToken: '', minRevision: 0n, filters: [] };
  const { connectAgent, connectControllers } = await import('./connect.js');
  if (kind === 'sandbox') {
    using agent = connectAgent(invocation);
    const { sandboxes } = await agent.ask(agent.sandboxes.list.bind(agent.sandboxes), {}, limits);
    return sandboxes.map(({ name }) => name);
  }
  using controllers = await connectControllers(invocation);
  const { networks, hosts, ask } = controllers;
  if (kind === 'network') {
    const page = await ask(networks.list.bind(networks), firstPage, limits);
    return page.networks.map(({ name }) => name);
  }
  const page = await ask(hosts.list.bind(hosts), firstPage, limits);
  return page.hosts.map(({ name }) => name);
}
