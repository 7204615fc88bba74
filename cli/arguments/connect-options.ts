/** `network connect`'s flags, which `sandbox create` and `run` take too. */
import type { Command } from 'commander';
import { collect } from './labels.js';

/** How the sandbox is attached. */
export function addConnectOptions(command: Command): Command {
  return command
    .option('--ip <ip>', 'the IPv4 address it should have')
    .option('--ip6 <ip>', 'the IPv6 address it should have')
    .option('--mac <mac>', 'the MAC address it should have; random otherwise')
    .option('--alias <name>', 'a further name it answers to (repeats)', collect)
    .option('--label <key=value>', "a label of the sandbox's endpoint (repeats)", collect);
}

/** The networks of a new sandbox, and how it is attached where there is one. */
export function addSandboxOptions(command: Command): Command {
  return addConnectOptions(
    command.option('--network <network>', 'a network by name or id (repeats); "none" is nothing but loopback', collect),
  );
}
