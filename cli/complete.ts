/** `weft complete -- WORDS...`: what the completion scripts ask at each TAB. Names come from the cluster, where it answers. */
import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';
import { NETWORK_OPTIONS } from '../core/network-options.js';
import { ENDPOINT_FILTERS, NETWORK_FILTERS, PRUNE_FILTERS } from './arguments/filters.js';
import { resolveGlobals } from './globals.js';
import { Invocation } from './invocation.js';
import { fillIn, makeProgram } from './program.js';
import type { Surroundings } from './surroundings.js';

/** A shell waits for this: names that take longer are not offered. */
const NAMES_TIMEOUT_MS = 1000;

const TAB_SCRIPT = 'completion-script';

/** In the scripts' protocol, the directives to add no space and to offer no files. */
const KEYS_ONLY = ':6\n';

/** In the scripts' protocol, the directive without a bit set: offer what the shell itself would, which is files. */
const SHELL_COMPLETES_FILES = ':0\n';

/** What can stand in an argument or an option of this name. */
const KINDS: readonly string[] = ['network', 'sandbox', 'host', 'lab', 'node'];

/** Answers one question on stdout; says nothing of what goes wrong, because nobody asked for that. `typed`: the line so far. */
export async function complete(typed: readonly string[], outer: Surroundings): Promise<number> {
  const invocation = new Invocation(resolveGlobals({}, outer.env, outer.homeDir), outer);
  const silent = { write: () => undefined, isTty: false };
  const surroundings = { ...outer, stdout: silent, stderr: silent };
  const program = makeProgram(surroundings);
  const watcher = { started: () => undefined, ended: () => undefined };
  await fillIn(program, undefined, { surroundings, watcher });
  // tab adds a command for its script; ours has the better name, and is offered.
  const root = tab(program, { completionCommandName: TAB_SCRIPT });
  root.commands.delete(TAB_SCRIPT);
  const words = named(program, typed);
  const [noun = '', verb = ''] = words.filter((word) => !word.startsWith('-'));
  const called = root.commands.get(`${noun} ${verb}`) ?? root.commands.get(noun);
  const keys = keysOf(noun, verb, words);
  if (keys !== undefined) {
    for (const key of keys) outer.stdout.write(`${key}\t\n`);
    outer.stdout.write(KEYS_ONLY);
    return 0;
  }
  if (called?.arguments.has('file') === true && words.at(-1)?.startsWith('-') === false) {
    outer.stdout.write(SHELL_COMPLETES_FILES);
    return 0;
  }
  for (const kind of KINDS) {
    const places = [called?.arguments.get(kind), called?.options.get(kind)].filter((place) => place !== undefined);
    if (places.length === 0) continue;
    const names = await (noun === 'lab' ? labNames(kind, words, invocation) : namesOf(kind, invocation)).catch(
      () => [],
    );
    for (const place of places) {
      place.handler = (offer) => {
        for (const name of names) offer(name, '');
      };
    }
  }
  root.parse([...words]);
  return 0;
}

/** The line with each command under its own name: `network list` is `network ls`. Pure. */
function named(program: Command, words: readonly string[]): readonly string[] {
  let at = program;
  return words.map((word, index) => {
    // What is still being typed may become another word.
    if (index === words.length - 1) return word;
    const next = at.commands.find((command) => command.name() === word || command.aliases().includes(word));
    if (next === undefined) return word;
    at = next;
    return next.name();
  });
}

const NETWORK_KEYS = NETWORK_OPTIONS.map((key) => `${key}=`);

/** What is offered behind -o and --filter, by command. */
const KEYS: Readonly<Record<string, readonly (readonly [options: readonly string[], keys: readonly string[]])[]>> = {
  'network create': [[['-o', '--opt'], NETWORK_KEYS]],
  'network update': [
    [['-o', '--opt'], NETWORK_KEYS],
    [['--option-rm'], NETWORK_OPTIONS],
  ],
  'network ls': [[['-f', '--filter'], NETWORK_FILTERS]],
  'network prune': [[['--filter'], PRUNE_FILTERS]],
  'endpoint ls': [[['-f', '--filter'], ENDPOINT_FILTERS]],
};

/** What the word under way can begin with, where it is the value of -o or --filter; undefined: it is not. */
function keysOf(noun: string, verb: string, words: readonly string[]): readonly string[] | undefined {
  const option = words.at(-2) ?? '';
  const word = words.at(-1) ?? '';
  const [, all] = KEYS[`${noun} ${verb}`]?.find(([options]) => options.includes(option)) ?? [];
  if (all === undefined) return undefined;
  // Of `label!=KEY[=VALUE]` what is the same for everybody.
  const keys = all.map((text) => /^[^=]*=?/.exec(text)?.[0] ?? text);
  return [...new Set(keys)].filter((key) => key.startsWith(word));
}

/** Labs of this machine, or machines of the lab that the line names: what `lab` calls a host is one of those. */
async function labNames(kind: string, words: readonly string[], invocation: Invocation): Promise<string[]> {
  const { nameLabs, nameNodes } = await import('./commands/lab.js');
  if (kind === 'lab') return nameLabs(invocation);
  const at = words.indexOf('--lab');
  return nameNodes(invocation, at < 0 ? undefined : words[at + 1]);
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
