/** Runs on a lab host: makes and removes one sandbox's objects by two calls of `ip -batch`, and prints how long each took. */
import { execFileSync } from 'node:child_process';

/** Prints a JSON list of milliseconds, one for each of argv[0] attaches. Returns the exit status. */
export function main(argv: readonly string[]): Promise<number> {
  const count = Number(argv[0] ?? 100);
  ip(['-batch', '-'], 'netns add hand-net\nnetns add hand-box');
  try {
    ip(['-n', 'hand-net', '-batch', '-'], 'link add name bridge0 type bridge\nlink set bridge0 up');
    const took: number[] = [];
    for (let round = 0; round < count; round += 1) {
      const began = performance.now();
      attach();
      took.push(performance.now() - began);
      ip(['-n', 'hand-net', 'link', 'del', 'port0']);
    }
    process.stdout.write(JSON.stringify(took));
  } finally {
    ip(['-batch', '-'], 'netns del hand-net\nnetns del hand-box');
  }
  return Promise.resolve(0);
}

function attach(): void {
  const network = `
    link add name port0 mtu 1450 type veth peer name eth0 mtu 1450 address 02:00:00:00:00:11 netns hand-box
    link set port0 master bridge0 up
    neighbour replace 10.8.0.11 lladdr 02:00:00:00:00:11 dev bridge0 nud permanent`;
  const box = `
    address add 10.8.0.11/24 dev eth0
    link set eth0 up
    route add default via 10.8.0.1`;
  ip(['-n', 'hand-net', '-batch', '-'], network);
  ip(['-n', 'hand-box', '-batch', '-'], box);
}

function ip(args: readonly string[], input = ''): void {
  execFileSync('ip', args, { input });
}
